"""How each action of a plan is done on a machine. Each may be called again after a worker died in its midst."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from django.conf import settings

from hardware.inventory.services import probe
from hardware.ssh import runs
from hardware.ssh.command import execute
from hardware.ssh.endpoint import Endpoint
from hardware.ssh.errors import MachineRebooted, SSHFailure
from hardware.ssh.follow import Finished, follow
from hardware.ssh.pool import Pool
from hardware.ssh.transfer import send
from hardware.ssh.tunnel import http_request
from jobs import logbook
from jobs.checkpoints import move
from jobs.database import on_db
from jobs.depot.models import blob_path
from jobs.failures import CancelRequested, Interrupted, JobFailed
from jobs.kind import Kind
from jobs.leases import Lease
from jobs.models import JobStep
from jobs.plan import Reboot, Request, RunCommand, SendArtifact, Step
from jobs.states import StepState

BOOT_ID = "cat /proc/sys/kernel/random/boot_id"


class Actions:
    """The actions of one job's steps. ``stop`` is set when the job was asked to stop."""

    def __init__(self, pool: Pool, lease: Lease, kind: Kind, stop: asyncio.Event) -> None:
        self.pool = pool
        self.lease = lease
        self.kind = kind
        self.stop = stop

    async def run(self, row: JobStep, step: Step, action: RunCommand, endpoint: Endpoint) -> dict[str, Any]:
        """Start or attach to the run, store its log, judge its end."""
        while True:
            started = await runs.start(self.pool, endpoint, row.run_id, action.command)
            await on_db(move, self.lease, row, StepState.RUNNING, boot_id=started.boot_id)
            try:
                finished = await self._follow(row, action, endpoint)
                break
            except MachineRebooted as wrong:
                if not action.repeatable:
                    raise Interrupted(wrong.code, str(wrong), wrong.mend) from wrong
                await on_db(move, self.lease, row, StepState.RUNNING, run_id=f"{row.run_id}r")
        source = f"run:{row.run_id}"
        log = await on_db(logbook.tail, source)
        row.exit_status, row.log_sha256 = finished.exit_status, finished.log_sha256
        if self.stop.is_set():
            raise CancelRequested
        return self.kind.judge(step, finished.exit_status, log)

    async def _follow(self, row: JobStep, action: RunCommand, endpoint: Endpoint) -> Finished:
        source = f"run:{row.run_id}"

        async def on_chunk(offset: int, data: bytes) -> None:
            await on_db(logbook.append, self.lease, row, source, offset, data)

        async def on_link(up: bool) -> None:
            await on_db(move, self.lease, row, StepState.RUNNING if up else StepState.UNREACHABLE)

        following = asyncio.create_task(
            follow(
                self.pool,
                endpoint,
                row.run_id,
                after=await on_db(logbook.stored, source),
                on_chunk=on_chunk,
                on_link=on_link,
                patience=settings.LINK_PATIENCE_SECONDS,
            )
        )
        stopping = asyncio.create_task(self.stop.wait())
        try:
            await asyncio.wait({following, stopping}, timeout=action.timeout_s, return_when=asyncio.FIRST_COMPLETED)
            late = not following.done() and not stopping.done()
            if not following.done():
                await runs.cancel(self.pool, endpoint, row.run_id)
            finished = await following
            if late:
                raise JobFailed(
                    "command-timeout",
                    f"{endpoint.name}: {row.title} was stopped: it took longer than the {action.timeout_s} s it may.",
                    "See in its log what it waited for, then run the job again.",
                )
            return finished
        finally:
            for task in (following, stopping):
                task.cancel()

    async def send(self, row: JobStep, step: Step, action: SendArtifact, endpoint: Endpoint) -> dict[str, Any]:
        """Copy a blob; one that is there already is not sent again."""
        blob = blob_path(action.sha256)
        if not blob.exists():
            raise JobFailed(
                "artifact-missing", f"The depot no longer has the bytes of {action.name}.", "Ingest the file again."
            )
        began = time.monotonic()
        sent = await send(self.pool, endpoint, blob, action.destination, sha256=action.sha256, mode=action.mode)
        return {
            "bytes": sent.bytes,
            "resumed_from": sent.resumed_from,
            "already_there": sent.already_there,
            "seconds": round(time.monotonic() - began, 3),
        }

    async def reboot(
        self, row: JobStep, step: Step, action: Reboot, endpoint: Endpoint, results: dict[str, Any]
    ) -> dict[str, Any]:
        """Restart once: the boot id from before is stored first, so that a second worker sees whether it happened."""
        if action.only_if and not any(result.get(action.only_if) for result in results.values()):
            return {"skipped": True}
        if not row.boot_id:
            before = (await execute(self.pool, endpoint, BOOT_ID)).stdout.strip()
            await on_db(move, self.lease, row, StepState.RUNNING, boot_id=before)
            await execute(self.pool, endpoint, "(sleep 1; reboot) >/dev/null 2>&1 </dev/null &")
        deadline = time.monotonic() + action.timeout_s
        while time.monotonic() < deadline:
            await asyncio.sleep(1)
            try:
                now = (await execute(self.pool, endpoint, BOOT_ID, timeout=10)).stdout.strip()
            except SSHFailure:
                continue
            if now and now != row.boot_id:
                return {"boot_id": now}
        raise JobFailed(
            "reboot-timeout",
            f"{endpoint.name} did not come back within {action.timeout_s} s of its restart.",
            "Look at the machine's console or its BMC.",
        )

    async def request(self, row: JobStep, step: Step, action: Request, endpoint: Endpoint) -> dict[str, Any]:
        """Ask until the answer is 200 and as expected."""
        body = json.dumps(action.body).encode() if action.body is not None else b""
        deadline = time.monotonic() + action.within_s
        last = "no answer"
        while True:
            try:
                status, answer = await http_request(
                    self.pool,
                    endpoint,
                    action.method,
                    action.port,
                    action.path,
                    body=body,
                    headers={"content-type": "application/json"},
                )
                last = f"status {status}"
                said = json.loads(answer) if answer else {}
                wrong = [f"{path} is {value!r}" for path, value in _differs(said, action.expect)]
                if status == 200 and not wrong:
                    return {"status": status, "answer": said}
                last = ", ".join([last, *wrong])
            except SSHFailure as failure:
                last = str(failure)
            except ValueError:
                last = "the answer is no JSON"
            if time.monotonic() > deadline or self.stop.is_set():
                asked = f"{action.method} {action.path} on port {action.port}"
                raise JobFailed(
                    "gate-failed",
                    f"{endpoint.name}: {asked} was not right in time: {last}.",
                    "Look at the log of the service on the machine.",
                )
            await asyncio.sleep(0.5)

    async def facts(self, row: JobStep, expect: dict[str, Any]) -> dict[str, Any]:
        """Probe, store the facts, hold them against what is expected."""
        facts = await probe(self.pool, row.machine)
        healthy = [npu for npu in facts.npus if npu.health == "OK"]
        if "npus" in expect and len(healthy) != expect["npus"]:
            raise JobFailed(
                "npus-missing",
                f"{row.machine.name}: npu-smi lists {len(healthy)} healthy NPUs, not {expect['npus']}"
                f" ({facts.npu_error or 'no error given'}).",
                "Look at the installer's log; restart the machine if it has not been restarted since.",
            )
        return {"npus": len(facts.npus), "driver": facts.driver.version if facts.driver else None}


def _differs(said: Any, expect: dict[str, Any]) -> list[tuple[str, Any]]:
    found = []
    for path, wanted in expect.items():
        value = said
        for part in path.split("."):
            if isinstance(value, list) and part.isdigit() and int(part) < len(value):
                value = value[int(part)]
            else:
                value = value.get(part) if isinstance(value, dict) else None
        if value != wanted:
            found.append((path, value))
    return found
