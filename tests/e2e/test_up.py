"""The whole console as an operator starts it: a subprocess with its own Redis, web server, workers and state."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.running import Console, start
from tests.sshd import PASSWORD, Server

PACKAGE = "/var/tmp/ascend-console/packages/console-test-no-such.rpm"


@pytest.fixture(scope="module", autouse=True)
def no_package_left() -> Iterator[None]:
    yield
    shutil.rmtree(Path(PACKAGE).parent, ignore_errors=True)


@pytest.fixture(scope="module")
def enrolled(console: Console, sshd: Server) -> str:
    """A machine, enrolled, confirmed and probed over the API; returns its architecture."""
    client = console.client
    client.post("/credentials/", json={"name": "lab", "password": PASSWORD}).raise_for_status()
    fields = {"name": "n1", "host": "127.0.0.1", "port": sshd.endpoint.port, "credential": "lab"}
    machine = client.post("/machines/", json=fields).raise_for_status().json()
    client.post("/machines/n1/confirm/", json={"fingerprint": machine["offered_fingerprint"]}).raise_for_status()
    return client.post("/machines/n1/probe/").raise_for_status().json()["facts"]["architecture"]


def launch_and_wait(client: httpx.Client, key: str, seconds: float) -> dict:
    body = {"kind": "install-os-packages", "params": {"packages": ["console-test"]}, "machines": ["n1"]}
    job = client.post("/jobs/", json=body, headers={"Idempotency-Key": key}).raise_for_status().json()
    deadline = time.monotonic() + seconds
    while job["state"] in ("queued", "waiting", "running"):
        assert time.monotonic() < deadline, f"job stays {job['state']}"
        time.sleep(0.2)
        job = client.get(f"/jobs/{job['id']}/").json()
    return job


def test_a_job_goes_through_api_broker_worker_and_machine_and_its_failure_is_explained(console, enrolled):
    # The machine is this host's own shell, and the package is none: rpm refuses it, or is not there at all.
    client = console.client
    data = {
        "type": "os-package",
        "name": Path(PACKAGE).name,
        "version": "1",
        "meta": f'{{"package": "console-test", "architecture": "{enrolled}"}}',
    }
    client.post("/artifacts/", data=data, files={"file": b"this is no rpm"}).raise_for_status()
    # Sooner than the reconciler comes by: the worker was told.
    job = launch_and_wait(client, "first", 15)
    assert (job["state"], job["failure"]["code"]) == ("failed", "command-failed")
    assert "Install ended with exit code" in job["failure"]["cause"] and job["failure"]["mend"]
    steps = client.get(f"/jobs/{job['id']}/steps/").json()
    assert [step["state"] for step in steps] == ["succeeded", "failed", "pending"]
    log = client.get(f"/jobs/{job['id']}/log/").json()
    assert log["ended"] and "rpm" in "".join(frame["text"] for frame in log["frames"])
    assert Path(PACKAGE).read_bytes() == b"this is no rpm"


def test_a_killed_worker_and_an_emptied_redis_only_delay(console, enrolled):
    before = console.children()
    assert set(before) == {"redis", "web", "machines", "compute", "collector", "beat"}
    os.kill(before["machines"], signal.SIGKILL)
    os.kill(before["redis"], signal.SIGKILL)
    job = launch_and_wait(console.client, "second", 60)
    assert job["state"] == "failed" and job["failure"]["code"] == "command-failed"
    after = console.children()
    assert after["machines"] != before["machines"] and after["redis"] != before["redis"]


def test_it_says_when_it_is_ready_and_what_hangs(console):
    def parts_when(queues: dict[str, bool], collects: bool) -> dict:
        deadline = time.monotonic() + 90
        while True:
            answer = httpx.get(f"{console.url}/readyz", timeout=10)
            parts = answer.json()["parts"]
            if (parts["workers"].get("queues"), parts["collector"]["ok"]) == (queues, collects):
                assert answer.status_code == (200 if collects and all(queues.values()) else 503)
                return parts
            assert time.monotonic() < deadline, answer.text
            time.sleep(0.3)

    both = {"machines": True, "compute": True}
    assert parts_when(both, True)["collector"]["machines"] == 1
    hanging = [console.children()[name] for name in ("compute", "collector")]
    try:
        for pid in hanging:
            os.kill(pid, signal.SIGSTOP)
        said = parts_when({"machines": True, "compute": False}, False)
    finally:
        for pid in hanging:
            os.kill(pid, signal.SIGCONT)
    assert "compute" in said["workers"]["said"] and said["collector"]["said"]
    parts_when(both, True)


def test_a_port_that_is_taken_is_said_in_one_line(console, tmp_path: Path):
    port = str(console.client.base_url.port)
    environment = {**os.environ, "CONSOLE_VAR": str(tmp_path), "CONSOLE_PORT": port}
    done = subprocess.run(
        [sys.executable, "manage.py", "up"], env=environment, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 1 and f"port {port}" in done.stderr and "Traceback" not in done.stderr


def test_a_setting_that_is_nonsense_stops_the_start_with_one_line(tmp_path: Path):
    environment = {**os.environ, "CONSOLE_VAR": str(tmp_path), "CONSOLE_PORT": "eighty"}
    done = subprocess.run(
        [sys.executable, "manage.py", "check"], env=environment, capture_output=True, text=True, timeout=110
    )
    assert done.returncode != 0 and "CONSOLE_PORT='eighty' is no whole number" in done.stderr
    assert done.stderr.strip().count("\n") == 0


def test_nothing_outlives_a_supervisor_that_is_killed(tmp_path: Path):
    console = start(tmp_path)
    children = console.children()
    assert set(children) == {"redis", "web", "machines", "compute", "beat", "collector"}
    console.client.close()
    console.process.kill()
    console.process.wait()
    deadline = time.monotonic() + 30
    while (left := [name for name, pid in children.items() if runs(pid)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []


def runs(pid: int) -> bool:
    """One that has ended but was not reaped yet has no command line."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False
