"""Machines that restart, whose disk fills up, or whose files vanish in the midst of a run."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hardware.inventory.models import Machine
from hardware.ssh.supervisor import RUNS_DIR
from jobs.models import Job
from jobs.services import launch
from jobs.states import JobState, StepState
from tests import command_kind
from tests.faults import watch
from tests.faults.processes import start_worker, take_over
from tests.fleet import Fleet
from tests.sshd import Server
from tests.worker import log_of, read_facts

DAY = 24 * 3600


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
        # Neither run's folder is left on the machine.
        assert not list((fleet.disk("kunpeng-01") / RUNS_DIR.lstrip("/")).iterdir())
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


@pytest.mark.parametrize("days", [-1, 1])
def test_a_machine_whose_clock_jumps_by_a_day_in_the_midst_of_a_run_is_followed_all_the_same(
    machine: Machine, sshd: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int
):
    """What a clock that jumped leaves: other times on the files of the run, and another date from then on."""
    tools, jumped = tmp_path / "bin", tmp_path / "jumped"
    tools.mkdir()
    (tools / "date").write_text(
        f'#!/bin/sh\n[ -e {jumped} ] && exec /bin/date -d "{days} day" "$@"\nexec /bin/date "$@"\n'
    )
    shell = tools / "sh"
    shell.write_text(f'#!/bin/sh\nPATH={tools}:$PATH exec /bin/sh "$@"\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    monkeypatch.setattr(sshd, "shell", str(shell))
    count, dates, gate = tmp_path / "count", tmp_path / "dates", tmp_path / "gate"
    command = f"{watch.counting(count, gate=gate)}; date +%s >{dates}"
    job = launch("command", {"command": command}, [machine], actor="ada")
    worker = start_worker(job)
    watch.until(lambda: watch.lines(job) >= 10)
    jumped.touch()
    for file in watch.folder(job).iterdir():
        then = file.stat().st_mtime + days * DAY
        os.utime(file, (then, then))
    worker.kill()
    gate.touch()
    watch.expire(job)
    take_over(job)
    watch.assert_whole(job, count, watch.written(), attempt=2)
    assert abs(int(dates.read_text()) - time.time() - days * DAY) < 60
