"""Machines that restart, whose disk fills up, or whose files vanish in the midst of a run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from hardware.inventory.models import Machine
from jobs.models import Job
from jobs.services import launch
from jobs.states import JobState, StepState
from tests import command_kind
from tests.faults import watch
from tests.faults.test_worker_death import start_worker
from tests.fleet import Fleet
from tests.worker import log_of, read_facts


def enrolled(fleet: Fleet) -> Machine:
    command_kind.register()
    return read_facts(fleet.enroll("kunpeng-01"))


@pytest.mark.parametrize("repeatable", [False, True])
def test_a_run_that_a_restart_cut_is_repeated_only_where_that_does_no_harm(
    new_fleet: Callable[..., Fleet], transactional_db: None, repeatable: bool
):
    fleet = new_fleet(machines=1, boot_seconds=0.5)
    machine, count = enrolled(fleet), fleet.disk("kunpeng-01") / "root/count"
    command = f"{watch.counting(Path('/root/count'), 20)}; [ $(wc -l </root/count) -gt 1 ] || sleep 60"
    job = launch("command", {"command": command, "repeatable": repeatable}, [machine], actor="ada")
    worker = start_worker(job)
    watch.until(lambda: watch.lines(job) >= 20)
    fleet.control("reboot", "kunpeng-01")
    assert worker.wait(watch.SECONDS) == 0
    job.refresh_from_db()
    if repeatable:
        assert job.state == JobState.SUCCEEDED, job.failure
        assert count.read_text() == "started\nstarted\n" and log_of(job) == watch.written(20) * 2
        assert watch.first(job).log_sha256 == hashlib.sha256(watch.written(20)).hexdigest()
    else:
        assert (job.state, job.failure["code"]) == (JobState.INTERRUPTED, "machine-rebooted")
        assert "kunpeng-01" in job.failure["cause"] and job.failure["mend"]
        assert [step.state for step in job.steps.order_by("position")] == [StepState.INTERRUPTED, StepState.PENDING]
        assert count.read_text() == "started\n" and log_of(job) == watch.written(20)


def test_a_disk_that_fills_up_under_a_log_ends_the_run_and_keeps_what_was_written(
    new_fleet: Callable[..., Fleet], transactional_db: None
):
    fleet = new_fleet(machines=1, faults=["kunpeng-01=small-disk"])
    machine, count = enrolled(fleet), fleet.disk("kunpeng-01") / "root/count"
    job = launch("command", {"command": "echo started >>/root/count; yes | head -c 6000000"}, [machine], actor="ada")
    worker = start_worker(job)
    assert worker.wait(watch.SECONDS) == 0
    job.refresh_from_db()
    assert (job.state, job.failure["code"]) == (JobState.FAILED, "command-failed"), job.failure
    assert "exit code 1" in job.failure["cause"] and count.read_text() == "started\n"
    log, step = log_of(job), watch.first(job)
    assert 3_500_000 < len(log) < 4 << 20 and log == (b"y\n" * len(log))[: len(log)]
    assert (step.exit_status, step.log_sha256) == (1, hashlib.sha256(log).hexdigest())


@pytest.mark.parametrize("what", ["its folder is removed", "its log is emptied"])
def test_a_run_whose_files_are_taken_away_is_lost_and_said_to_be(machine: Machine, tmp_path: Path, what: str):
    count = tmp_path / "count"
    job = launch("command", {"command": f"{watch.counting(count, 20)}; sleep 1"}, [machine], actor="ada")
    worker = start_worker(job)
    watch.until(lambda: watch.lines(job) >= 20)
    if what == "its folder is removed":
        watch.remove(watch.folder(job))
    else:
        (watch.folder(job) / "log").write_bytes(b"")
    assert worker.wait(watch.SECONDS) == 0
    job = Job.objects.get(pk=job.pk)
    assert (job.state, job.failure["code"]) == (JobState.FAILED, "run-lost"), job.failure
    assert machine.name in job.failure["cause"] and job.failure["mend"]
    assert count.read_text() == "started\n" and log_of(job) == watch.written(20)
