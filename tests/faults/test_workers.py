"""Workers that die at each moment of a run, that sleep through their lease, or whose clock is wrong."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone

from hardware.inventory.models import Machine
from jobs.dispatch import reconcile
from jobs.leases import claim
from jobs.models import Job
from jobs.services import cancel, launch
from jobs.states import JobState, StepState
from tests.faults import watch
from tests.faults.test_worker_death import start_worker, take_over

Moment = tuple[Callable[[Job], object], Callable[[Job], object] | None]


def begun(job: Job) -> bool:
    return watch.first(job).state == StepState.RUNNING


# What is looked for in the database; then, where it is given, on the machine. Between the two the database can't be
# written: the worker stands before its next write when it is killed.
MOMENTS: dict[str, Moment] = {
    "as it takes the job": (lambda job: Job.objects.get(pk=job.pk).attempt, None),
    "before the start": (begun, None),
    "after a start it has not noted": (begun, lambda job: (watch.folder(job) / "started").exists()),
    "while it follows": (lambda job: watch.lines(job) >= 20, None),
    "after an exit it has not seen": (watch.lines, lambda job: (watch.folder(job) / "exit").exists()),
    "as it checkpoints": (lambda job: watch.lines(job) >= 60, lambda job: True),
    "after the checkpoint": (lambda job: watch.first(job).state == StepState.SUCCEEDED, None),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_worker_that_is_killed_at_any_moment_loses_nothing_and_starts_nothing_twice(
    machine: Machine, tmp_path: Path, moment: str
):
    stored, there = MOMENTS[moment]
    count, then = tmp_path / "count", tmp_path / "then"
    job = launch("command", {"command": watch.counting(count), "then": f"echo then >>{then}"}, [machine], actor="ada")
    worker = start_worker(job)
    watch.until(lambda: stored(job))
    with watch.database_locked() if there else nullcontext():
        watch.until(lambda: there is None or there(job))
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    watch.expire(job)
    take_over(job)
    watch.assert_whole(job, count, watch.written(), attempt=2)
    assert then.read_text() == "then\n"


def test_a_worker_that_slept_through_its_lease_can_write_nothing_more(machine: Machine, tmp_path: Path):
    count = tmp_path / "count"
    job = launch("command", {"command": watch.counting(count, 150)}, [machine], actor="ada")
    stale = start_worker(job)
    watch.until(lambda: watch.lines(job) >= 10)
    stale.send_signal(signal.SIGSTOP)
    while watch.is_locked():
        # It was stopped in the midst of a write, which would hold up its successor instead.
        stale.send_signal(signal.SIGCONT)
        watch.until(lambda: not watch.is_locked())
        stale.send_signal(signal.SIGSTOP)
    watch.expire(job)
    take_over(job)
    ended = Job.objects.values().get(pk=job.pk)
    stale.send_signal(signal.SIGCONT)
    assert stale.wait(watch.SECONDS) == 0
    assert Job.objects.values().get(pk=job.pk) == ended
    watch.assert_whole(job, count, watch.written(150), attempt=2)


@pytest.mark.parametrize("days", [-1, 1])
def test_a_worker_whose_clock_is_wrong_by_a_day_holds_its_job_and_is_followed_in_time(
    machine: Machine, tmp_path: Path, days: int
):
    count = tmp_path / "count"
    job = launch("command", {"command": watch.counting(count)}, [machine], actor="ada")
    worker = start_worker(job, CLOCK_DAYS=str(days))
    watch.until(lambda: watch.lines(job) >= 10)
    assert claim(job.pk, "rival") is None
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    job.refresh_from_db()
    assert job.lease_until is not None
    assert abs(job.lease_until - timezone.now()) < timedelta(seconds=settings.LEASE_SECONDS + 1)
    watch.expire(job)
    take_over(job)
    watch.assert_whole(job, count, watch.written(), attempt=2)


def test_a_lease_from_before_the_databases_clock_was_set_back_does_not_hold_for_a_day(machine: Machine):
    job = launch("command", {"command": "true"}, [machine], actor="ada")
    assert claim(job.pk, "dead") is not None and reconcile() == []
    Job.objects.filter(pk=job.pk).update(lease_until=timezone.now() + timedelta(days=1))
    assert reconcile() == [job.pk] and claim(job.pk, "next") is not None


@pytest.mark.parametrize("noted", [True, False], ids=["a run that was noted", "a run that was not noted"])
def test_a_job_that_was_to_stop_when_its_worker_died_is_stopped_by_the_next(
    machine: Machine, tmp_path: Path, noted: bool
):
    late, then = tmp_path / "late", tmp_path / "then"
    params = {"command": f"echo up; sleep 30; touch {late}", "then": f"touch {then}"}
    job = launch("command", params, [machine], actor="ada")
    worker = start_worker(job)
    if noted:
        watch.until(lambda: watch.lines(job))
        worker.send_signal(signal.SIGKILL)
    else:
        watch.until(lambda: begun(job))
        with watch.database_locked():
            watch.until(lambda: (watch.folder(job) / "started").exists())
            worker.send_signal(signal.SIGKILL)
            worker.wait()
    worker.wait()
    assert cancel(job, actor="ada")
    watch.expire(job)
    take_over(job)
    assert (job.state, job.attempt) == (JobState.CANCELLED, 2)
    assert [step.state for step in job.steps.order_by("position")] == ["cancelled", "pending"]
    assert (watch.folder(job) / "exit").exists() and not late.exists() and not then.exists()


def test_a_run_that_had_no_process_yet_when_it_was_to_stop_is_stopped_all_the_same(machine: Machine, tmp_path: Path):
    late = tmp_path / "late"
    job = launch("command", {"command": f"echo up; sleep 40; touch {late}"}, [machine], actor="ada")
    worker = start_worker(job)
    watch.until(lambda: watch.lines(job))
    pid = watch.folder(job) / "pid"
    hidden = pid.rename(pid.with_name("hidden"))
    assert cancel(job, actor="ada")
    # As long as the machine looks for a process once, and the beat that brings it the word.
    time.sleep(5)
    hidden.rename(pid)
    assert worker.wait(20) == 0
    job.refresh_from_db()
    assert job.state == JobState.CANCELLED and not late.exists()


def test_a_job_that_was_to_stop_when_its_worker_died_between_two_steps_begins_no_other(
    machine: Machine, slow_shell: None, tmp_path: Path
):
    count, then = tmp_path / "count", tmp_path / "then"
    job = launch("command", {"command": watch.counting(count, 1), "then": f"touch {then}"}, [machine], actor="ada")
    worker = start_worker(job)
    watch.until(lambda: watch.first(job).state == StepState.SUCCEEDED)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    assert cancel(job, actor="ada")
    watch.expire(job)
    take_over(job)
    assert job.state == JobState.CANCELLED and count.read_text() == "started\n" and not then.exists()
    assert [step.state for step in job.steps.order_by("position")] == ["succeeded", "pending"]


def test_a_run_whose_folder_is_gone_is_not_started_again_by_the_next_worker(machine: Machine, tmp_path: Path):
    count = tmp_path / "count"
    job = launch("command", {"command": f"echo started >>{count}; echo up; sleep 2"}, [machine], actor="ada")
    worker = start_worker(job)
    watch.until(lambda: watch.lines(job))
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    watch.remove(watch.folder(job))
    watch.expire(job)
    take_over(job)
    assert (job.state, job.failure["code"]) == (JobState.FAILED, "run-lost") and job.failure["mend"]
    assert count.read_text() == "started\n"
