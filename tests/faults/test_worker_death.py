from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import IO

import pytest
from django.conf import settings
from django.utils import timezone

from hardware.inventory.models import Machine
from hardware.ssh.pool import Pool
from jobs.dispatch import reconcile
from jobs.models import Job
from jobs.runner import Runner
from jobs.services import launch
from jobs.states import JobState


def start_worker(
    job: Job, kind: str = "tests.command_kind:Command", stderr: IO[bytes] | None = None, **environment_of_it: str
) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.faults.same_database",
        "CONSOLE_VAR": str(settings.VAR_DIR),
        "CONSOLE_LEASE_SECONDS": str(settings.LEASE_SECONDS),
        **{f"CONSOLE_{name}": value for name, value in environment_of_it.items()},
    }
    return subprocess.Popen(
        [sys.executable, "-m", "tests.faults.worker", str(job.pk), kind], env=environment, stderr=stderr
    )


def take_over(job: Job) -> None:
    async def go() -> None:
        pool = Pool()
        while not await Runner(pool, "successor").run(job.pk):
            await asyncio.sleep(0.2)
        await pool.close()

    asyncio.run(asyncio.wait_for(go(), 30))
    job.refresh_from_db()


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
