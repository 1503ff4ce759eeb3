"""The time of a step is counted from its start, by the database's clock, over however many workers."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.db.models import F

from hardware.inventory.models import Machine
from jobs.models import Job, JobStep
from jobs.options import Options
from jobs.services import launch
from jobs.states import JobState
from tests.faults import kinds, watch
from tests.faults.processes import start_worker, take_over
from tests.ports import free_ports
from tests.worker import log_of, work


def began_earlier(job: Job, seconds: float) -> None:
    """As if its worker had died so long ago."""
    JobStep.objects.filter(job=job, key="first").update(started_at=F("started_at") - timedelta(seconds=seconds))


@pytest.mark.parametrize("given", [{"timeout_s": 20}, {}], ids=["of the plan", "of the options"])
def test_a_step_that_changes_hands_has_what_is_left_of_its_time(machine: Machine, tmp_path: Path, given: dict):
    late = tmp_path / "late"
    options = Options() if given else Options(step_timeout_s=20)
    params = {"command": f"echo up; sleep 60; touch {late}", **given}
    job = launch("command", params, [machine], actor="ada", options=options)
    worker = start_worker(job)
    watch.until(lambda: watch.lines(job))
    worker.kill()
    began_earlier(job, 60)
    watch.expire(job)
    take_over(job)
    assert (job.state, job.failure["code"]) == (JobState.FAILED, "command-timeout"), job.failure
    assert "longer than the 20 s it may" in job.failure["cause"] and not late.exists()


def test_a_command_that_ended_while_nobody_looked_is_not_said_to_be_late(machine: Machine, tmp_path: Path):
    count = tmp_path / "count"
    job = launch("command", {"command": watch.counting(count), "timeout_s": 20}, [machine], actor="ada")
    worker = start_worker(job)
    watch.until(lambda: watch.lines(job))
    worker.kill()
    watch.until(lambda: (watch.folder(job) / "exit").exists())
    began_earlier(job, 60)
    watch.expire(job)
    take_over(job)
    watch.assert_whole(job, count, watch.written(), attempt=2)


def test_the_options_of_a_job_may_give_a_step_more_time_than_its_plan(machine: Machine):
    params = {"command": "sleep 2; echo done", "timeout_s": 1}
    job = work(launch("command", params, [machine], actor="ada", options=Options(step_timeout_s=30)))
    assert job.state == JobState.SUCCEEDED and log_of(job) == b"done\n"


def test_a_worker_whose_clock_is_wrong_counts_right(machine: Machine, tmp_path: Path):
    count = tmp_path / "count"
    job = launch("command", {"command": watch.counting(count), "timeout_s": 20}, [machine], actor="ada")
    worker = start_worker(job, CLOCK_DAYS=-1)
    watch.until(lambda: watch.lines(job))
    worker.kill()
    watch.expire(job)
    take_over(job)
    watch.assert_whole(job, count, watch.written(), attempt=2)


def test_the_options_limit_a_step_that_has_no_limit_of_its_own(machine: Machine):
    kinds.register()
    # Nothing listens there, and the gate would wait for a minute.
    action = {"type": "request", "method": "GET", "port": free_ports(), "path": "/healthz", "within_s": 60}
    job = work(launch("single", {"action": action}, [machine], actor="ada", options=Options(step_timeout_s=1)))
    assert (job.state, job.failure["code"]) == (JobState.FAILED, "command-timeout"), job.failure
    assert "host-1: Only was stopped: it took longer than the 1 s it may" in job.failure["cause"]
