from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone

from hardware.inventory.models import Machine
from hardware.ssh.pool import Pool
from jobs.dispatch import reconcile
from jobs.logbook import replay
from jobs.models import Job
from jobs.runner import Runner
from jobs.services import launch
from jobs.states import JobState


def start_worker(
    job: Job, kind: str = "tests.command_kind:Command", **environment_of_it: str
) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.faults.same_database",
        "CONSOLE_VAR": str(settings.VAR_DIR),
        "CONSOLE_LEASE_SECONDS": str(settings.LEASE_SECONDS),
        **{f"CONSOLE_{name}": value for name, value in environment_of_it.items()},
    }
    return subprocess.Popen([sys.executable, "-m", "tests.faults.worker", str(job.pk), kind], env=environment)


def take_over(job: Job) -> None:
    async def go() -> None:
        pool = Pool()
        while not await Runner(pool, "successor").run(job.pk):
            await asyncio.sleep(0.2)
        await pool.close()

    asyncio.run(asyncio.wait_for(go(), 30))
    job.refresh_from_db()


@pytest.mark.parametrize("lines_seen", [0, 1, 150], ids=["at the start", "while it begins", "in its midst"])
def test_a_worker_that_is_killed_loses_nothing_and_starts_nothing_twice(machine: Machine, tmp_path: Path, lines_seen):
    count = tmp_path / "count"
    command = f"echo started >>{count}; i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo line $i; sleep 0.01; done"
    job = launch("command", {"command": command, "then": f"echo then >>{count}"}, [machine], actor="ada")
    worker = start_worker(job)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        job.refresh_from_db()
        stored = b"".join(bytes(chunk.data) for chunk in replay(job.pk, 0, 10_000))
        if job.attempt == 1 and stored.count(b"\n") >= lines_seen:
            break
        time.sleep(0.02)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    take_over(job)
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 2), job.failure
    assert count.read_text() == "started\nthen\n"
    log = b"".join(bytes(chunk.data) for chunk in replay(job.pk, 0, 10_000))
    assert log == "".join(f"line {i}\n" for i in range(1, 301)).encode()


def test_a_job_whose_wake_up_was_lost_is_found_again(machine: Machine):
    # No broker runs here at all: launching must not fail, and the reconciler must name the job.
    job = launch("command", {"command": "true"}, [machine], actor="ada")
    assert reconcile() == [job.pk]
    take_over(job)
    assert job.state == JobState.SUCCEEDED and reconcile() == []


@pytest.mark.timeout(60)
def test_a_worker_that_is_told_to_stop_hands_its_jobs_on_at_once(machine: Machine):
    job = launch("command", {"command": "sleep 3; echo done"}, [machine], actor="ada")
    script = f"""
import django; django.setup()
import time
from django.conf import settings
from django.utils import timezone
settings.LEASE_SECONDS = 600
from jobs.loop import leave, submit
from jobs import registry
from tests.command_kind import Command
registry.all_kinds()["command"] = Command()
submit({job.pk}); time.sleep(1.5); leave()
"""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.faults.same_database",
        "CONSOLE_VAR": str(settings.VAR_DIR),
    }
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
    job.refresh_from_db()
    assert job.attempt == 1 and job.lease_until is not None and job.lease_until <= timezone.now()
    take_over(job)
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 2)
