"""A REST client of the console, as a site's automation would write one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

Tell = Callable[[str], None]

UNDER_WAY = ("queued", "waiting", "running", "cancelling")


class DemoFailed(Exception):
    """A stage did not prove what it claims; ``str()`` says what, where and the mend."""


class Client:
    """One login at one console. Every POST carries an ``Idempotency-Key``: a repeated one does nothing twice."""

    def __init__(self, address: str, username: str, password: str, keys: str) -> None:
        """``keys`` begins each Idempotency-Key of this run of the demo."""
        self.keys = keys
        self.http = httpx.Client(base_url=f"{address}/api/v1", timeout=120)
        token = self._answer(self.http.post("/token/", json={"username": username, "password": password}))["token"]
        self.http.headers["Authorization"] = f"Token {token}"

    def get(self, path: str, **params: Any) -> Any:
        return self._answer(self.http.get(path, params=params))

    def post(self, path: str, body: dict[str, Any], key: str = "") -> Any:
        headers = {"Idempotency-Key": f"{self.keys}-{key}"} if key else {}
        return self._answer(self.http.post(path, json=body, headers=headers))

    def upload(self, file: Path, sha256: str, **fields: str) -> Any:
        """Put a file into the depot; the same bytes again are the artifact that is there."""
        with file.open("rb") as stream:
            data = {"name": file.name, "expected_sha256": sha256, **fields}
            return self._answer(self.http.post("/artifacts/", data=data, files={"file": (file.name, stream)}))

    def launch(self, kind: str, params: dict[str, Any], machines: Sequence[str], key: str) -> int:
        """Look at the plan, then run that very plan; returns the job's id."""
        body = {"kind": kind, "params": params, "machines": list(machines)}
        shown = self.post("/jobs/?dry_run=1", body)
        return int(self.post("/jobs/", {**body, "plan_hash": shown["plan_hash"]}, key)["id"])

    def wait(self, job_id: int, tell: Tell, seconds: float) -> Any:
        """The job when it has ended; tells of each step that begins. Raises ``DemoFailed`` when time is up."""
        deadline = time.monotonic() + seconds
        told: set[int] = set()
        while True:
            job = self.get(f"/jobs/{job_id}/")
            for step in self.get(f"/jobs/{job_id}/steps/"):
                if step["id"] not in told and step["state"] != "pending":
                    told.add(step["id"])
                    tell(f"{step['machine'] or 'console'}: {step['title']}")
            if job["state"] not in UNDER_WAY:
                return job
            if time.monotonic() > deadline:
                raise DemoFailed(f"Job {job_id} ({job['kind']}) is still {job['state']} after {seconds:.0f} s.")
            time.sleep(0.5)

    @staticmethod
    def _answer(answer: httpx.Response) -> Any:
        if answer.is_success:
            return answer.json() if answer.content else None
        try:
            said = answer.json()
        except ValueError:
            said = {}
        title = said.get("title") or f"The console answered {answer.status_code} to {answer.request.url.path}."
        errors = f" {said['errors']}" if said.get("errors") else ""
        raise DemoFailed(f"{title}{errors} {said.get('mend', '')}".strip())
