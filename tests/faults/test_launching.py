"""A launch that is cut off at each moment: there is a whole job or none, and the next to launch it makes no second."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone

from hardware.inventory.models import Machine
from jobs import registry
from jobs.engine.reconciler import reconcile
from jobs.models import Job, JobStep
from jobs.services import launch
from jobs.states import JobState
from tests.faults import kinds, watch
from tests.faults.processes import Process, take_over
from tests.faults.worker import launching, leaving
from tests.machines import make_machine
from tests.redis_server import Redis
from tests.sshd import Server

# So many that storing the job takes some time.
MACHINES = 12


@contextmanager
def broker_hangs(redis_server: Redis) -> Iterator[None]:
    """It takes what is sent to it and never answers."""
    redis_server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        redis_server.process.send_signal(signal.SIGCONT)


@pytest.fixture
def machines(sshd: Server, machine: Machine) -> list[Machine]:
    return [machine, *(make_machine(f"host-{number}", sshd) for number in range(2, MACHINES + 1))]


@pytest.mark.parametrize("moment", ["in its plan", "before it is stored", "as it is stored", "before a worker is told"])
def test_a_launch_that_is_killed_leaves_a_whole_job_or_none_and_is_made_good_by_the_next(
    machines: list[Machine], tmp_path: Path, redis_server: Redis, moment: str
):
    count, planned = tmp_path / "count", tmp_path / "planned"
    registry.all_kinds()["planned"] = kinds.Planned()
    params = {"command": f"echo started >>{count}", "planned": str(planned), "hangs": moment == "in its plan"}
    locked = watch.database_locked if moment == "before it is stored" else nullcontext
    hangs = broker_hangs(redis_server) if moment == "before a worker is told" else nullcontext()
    with locked(), hangs:
        launcher = Process(launching, "planned", params, [machine.pk for machine in machines], "form-1")
        watch.until(planned.exists)
        if moment == "as it is stored":
            while launcher.poll() is None and not watch.is_locked():
                time.sleep(0)
        elif moment == "before a worker is told":
            watch.until(lambda: Job.objects.exists())
        launcher.kill()
    stored = list(Job.objects.all())
    if moment in ("in its plan", "before it is stored"):
        assert stored == []
    elif moment == "before a worker is told":
        assert len(stored) == 1
    assert JobStep.objects.count() == MACHINES * len(stored)
    params["hangs"] = False
    job = launch("planned", params, machines, actor="ada", once="form-1")
    assert stored in ([], [job]) and Job.objects.count() == 1 and reconcile() == [job.pk]
    take_over(job)
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 1), job.failure
    assert count.read_text() == "started\n" * MACHINES and reconcile() == []


def test_a_job_whose_wake_up_was_lost_is_found_again(machine: Machine, tmp_path: Path):
    # No broker runs here at all: launching must not fail, and the reconciler must name the job.
    count = tmp_path / "count"
    job = launch("command", {"command": watch.counting(count, 1)}, [machine], actor="ada")
    assert reconcile() == [job.pk]
    take_over(job)
    watch.assert_whole(job, count, watch.written(1), attempt=1)
    assert reconcile() == []


def test_a_worker_that_is_told_to_stop_hands_its_jobs_on_at_once(machine: Machine, tmp_path: Path):
    count, stop = tmp_path / "count", tmp_path / "stop"
    job = launch("command", {"command": watch.counting(count, 60)}, [machine], actor="ada")
    leaver = Process(leaving, job.pk, str(stop))
    watch.until(lambda: watch.lines(job) >= 10)
    stop.touch()
    assert leaver.wait() == 0
    job.refresh_from_db()
    assert job.attempt == 1 and job.lease_until is not None and job.lease_until <= timezone.now()
    assert settings.LEASE_SECONDS < 600
    take_over(job)
    watch.assert_whole(job, count, watch.written(60), attempt=2)
