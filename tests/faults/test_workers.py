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
from django.db import transaction
from django.utils import timezone

from hardware.inventory.models import Machine
from jobs.control import cancel
from jobs.engine.leases import claim
from jobs.engine.reconciler import reconcile
from jobs.models import Job
from jobs.services import launch
from jobs.states import ENDED, JobState, StepState
from tests.faults import watch
from tests.faults.processes import start_worker, take_over

Moment = tuple[Callable[[Job], object], Callable[[Job], object] | None]


def begun(job: Job) -> bool:
    return watch.first(job).state == StepState.RUNNING


def noted(job: Job) -> object:
    """The run may have been started from now on."""
    return watch.first(job).boot_id


# What is looked for in the database; then, where it is given, on the machine. Between the two the database can't be
# written: the worker stands before its next write when it is killed.
MOMENTS: dict[str, Moment] = {
    "as it takes the job": (lambda job: Job.objects.get(pk=job.pk).attempt, None),
    "before the start": (begun, None),
    "between the two moves of a start": (begun, lambda job: (watch.folder(job) / "supervise").exists()),
    "as it sends the start": (noted, None),
    "after a start it has not seen": (noted, lambda job: (watch.folder(job) / "started").exists()),
    "while it follows": (lambda job: watch.lines(job) >= 10, None),
    "after an exit it has not seen": (watch.lines, lambda job: (watch.folder(job) / "exit").exists()),
    "as it checkpoints": (lambda job: watch.lines(job) >= 30, lambda job: True),
    "after the checkpoint": (lambda job: watch.first(job).state == StepState.SUCCEEDED, None),
}
# Before these moments the command may end, before the others it does not.
AT_ITS_END = ("after an exit it has not seen", "as it checkpoints", "after the checkpoint")


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_worker_that_is_killed_at_any_moment_loses_nothing_and_starts_nothing_twice(
    machine: Machine, tmp_path: Path, moment: str
):
    stored, there = MOMENTS[moment]
    count, then, gate = tmp_path / "count", tmp_path / "then", tmp_path / "gate"
    params = {"command": watch.counting(count, gate=gate), "then": f"echo then >>{then}"}
    job = launch("command", params, [machine], actor="ada")
    if moment in AT_ITS_END:
        gate.touch()
    worker = start_worker(job)
    watch.until(lambda: stored(job))
    with watch.database_locked() if there else nullcontext():
        watch.until(lambda: there is None or there(job))
        worker.kill()
    gate.touch()
    watch.expire(job)
    take_over(job)
    watch.assert_whole(job, count, watch.written(), attempt=2)
    assert then.read_text() == "then\n"


def test_a_worker_that_slept_through_its_lease_can_write_nothing_more(machine: Machine, tmp_path: Path):
    count, gate = tmp_path / "count", tmp_path / "gate"
    job = launch("command", {"command": watch.counting(count, 60, gate=gate)}, [machine], actor="ada")
    stale = start_worker(job)
    watch.until(lambda: watch.lines(job) >= 10)
    watch.stop(stale)
    gate.touch()
    watch.expire(job)
    take_over(job)
    ended = Job.objects.values().get(pk=job.pk)
    stale.send_signal(signal.SIGCONT)
    assert stale.wait(watch.SECONDS) == 0
    assert Job.objects.values().get(pk=job.pk) == ended
    watch.assert_whole(job, count, watch.written(60), attempt=2)


@pytest.mark.parametrize("moment", ["before the start", "as it sends the start", "while it follows"])
def test_of_two_workers_that_believe_they_own_a_job_the_stale_one_writes_nothing(
    machine: Machine, tmp_path: Path, moment: str
):
    count, then, gate = tmp_path / "count", tmp_path / "then", tmp_path / "gate"
    params = {"command": watch.counting(count, 60, gate=gate), "then": f"echo then >>{then}"}
    job = launch("command", params, [machine], actor="ada")
    stale = start_worker(job)
    watch.until(lambda: MOMENTS[moment][0](job))
    # Taken over under its hands: both are at work from here on, until a write of the first one is refused.
    with transaction.atomic():
        watch.expire(job)
        assert claim(job.pk, "dead at once") is not None
    gate.touch()
    watch.expire(job)
    take_over(job)
    assert stale.wait() == 0
    watch.assert_whole(job, count, watch.written(60), attempt=3)
    assert then.read_text() == "then\n"
    assert [(move.attempt, move.to_state) for move in job.transitions.filter(to_state__in=ENDED)] == [(3, "succeeded")]


@pytest.mark.parametrize("days", [-1, 1])
def test_a_worker_whose_clock_is_wrong_by_a_day_holds_its_job_and_is_followed_in_time(
    machine: Machine, tmp_path: Path, days: int
):
    count, gate = tmp_path / "count", tmp_path / "gate"
    job = launch("command", {"command": watch.counting(count, gate=gate)}, [machine], actor="ada")
    worker = start_worker(job, CLOCK_DAYS=days)
    watch.until(lambda: watch.lines(job) >= 10)
    assert claim(job.pk, "rival") is None
    worker.kill()
    job.refresh_from_db()
    assert job.lease_until is not None
    assert abs(job.lease_until - timezone.now()) < timedelta(seconds=settings.LEASE_SECONDS + 1)
    gate.touch()
    watch.expire(job)
    take_over(job)
    watch.assert_whole(job, count, watch.written(), attempt=2)


def test_a_lease_from_before_the_databases_clock_was_set_back_does_not_hold_for_a_day(machine: Machine):
    job = launch("command", {"command": "true"}, [machine], actor="ada")
    assert claim(job.pk, "dead") is not None and reconcile() == []
    Job.objects.filter(pk=job.pk).update(lease_until=timezone.now() + timedelta(days=1))
    assert reconcile() == [job.pk] and claim(job.pk, "next") is not None


@pytest.mark.parametrize("seen", [True, False], ids=["its run was seen", "its run was not seen"])
def test_a_job_that_was_to_stop_when_its_worker_died_is_stopped_by_the_next(
    machine: Machine, tmp_path: Path, seen: bool
):
    late, then = tmp_path / "late", tmp_path / "then"
    params = {"command": f"echo up; sleep 30; touch {late}", "then": f"touch {then}"}
    job = launch("command", params, [machine], actor="ada")
    worker = start_worker(job)
    if seen:
        watch.until(lambda: watch.lines(job))
        worker.send_signal(signal.SIGKILL)
    else:
        watch.until(lambda: noted(job))
        with watch.database_locked():
            watch.until(lambda: (watch.folder(job) / "started").exists())
            worker.kill()
    worker.wait()
    assert cancel(job, actor="ada")
    watch.expire(job)
    take_over(job)
    assert (job.state, job.attempt) == (JobState.CANCELLED, 2)
    assert [step.state for step in job.steps.order_by("position")] == ["cancelled", "pending"]
    assert (watch.folder(job) / "exit").exists() and not late.exists() and not then.exists()


def test_a_run_that_ended_by_itself_before_it_was_to_stop_is_done_and_not_said_to_be_cut_off(
    machine: Machine, tmp_path: Path
):
    then = tmp_path / "then"
    job = launch("command", {"command": "echo up; sleep 1; echo end", "then": f"touch {then}"}, [machine], actor="ada")
    worker = start_worker(job)
    watch.until(lambda: watch.lines(job))
    worker.kill()
    worker.wait()
    watch.until((watch.folder(job) / "exit").exists)
    assert cancel(job, actor="ada")
    watch.expire(job)
    take_over(job)
    assert job.state == JobState.CANCELLED and not then.exists()
    assert [step.state for step in job.steps.order_by("position")] == ["succeeded", "pending"]


def test_a_run_that_had_no_process_yet_when_it_was_to_stop_is_stopped_all_the_same(machine: Machine, tmp_path: Path):
    late = tmp_path / "late"
    job = launch("command", {"command": f"echo up; sleep 40; touch {late}"}, [machine], actor="ada")
    worker = start_worker(job, BEAT_SECONDS=0.1)
    watch.until(lambda: watch.lines(job))
    pid = watch.folder(job) / "pid"
    watch.until(pid.exists)
    hidden = pid.rename(pid.with_name("hidden"))
    assert cancel(job, actor="ada")
    # As long as the machine looks for a process once, and a little.
    time.sleep(2.5)
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
    worker.kill()
    assert cancel(job, actor="ada")
    watch.expire(job)
    take_over(job)
    assert job.state == JobState.CANCELLED and count.read_text() == "started\n" and not then.exists()
    assert [step.state for step in job.steps.order_by("position")] == ["succeeded", "pending"]


@pytest.mark.parametrize("seen", [True, False], ids=["seen to run", "not even seen to be started"])
def test_a_run_whose_folder_is_gone_is_not_started_again_by_the_next_worker(
    machine: Machine, tmp_path: Path, seen: bool
):
    count = tmp_path / "count"
    job = launch("command", {"command": f"echo started >>{count}; echo up; sleep 2"}, [machine], actor="ada")
    worker = start_worker(job)
    watch.until(lambda: watch.lines(job) if seen else noted(job))
    with nullcontext() if seen else watch.database_locked():
        watch.until(count.exists)
        worker.kill()
    watch.remove(watch.folder(job))
    watch.expire(job)
    take_over(job)
    assert (job.state, job.failure["code"]) == (JobState.FAILED, "run-lost") and job.failure["mend"]
    assert count.read_text() == "started\n"
