"""The worker dies while a driver is installed on a simulated machine: the installer must have run once."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from hardware.inventory.models import Machine
from jobs.logs.reading import whole
from jobs.models import Job
from jobs.services import launch
from jobs.states import JobState, StepState
from tests.faults.processes import start_worker, take_over
from tests.fleet import Fleet
from tests.worker import read_facts


def log_of(job: Job) -> str:
    chunks = list(whole(job.pk))
    positions = [chunk.position for chunk in chunks]
    ends = [chunk.position + len(chunk.data) for chunk in chunks]
    assert positions == [0, *ends[:-1]]
    return b"".join(chunk.data for chunk in chunks).decode()


def driver_is_being_installed(job: Job) -> bool:
    return b"upgradePercentage:30%" in b"".join(chunk.data for chunk in whole(job.pk))


def machine_restarts(job: Job) -> bool:
    step = job.steps.get(key="reboot")
    return step.state == StepState.RUNNING and bool(step.boot_id)


@pytest.mark.costly(10)
@pytest.mark.parametrize("moment", [driver_is_being_installed, machine_restarts])
def test_a_worker_that_is_killed_while_a_driver_is_installed_starts_no_installer_twice(
    new_fleet: Callable[..., Fleet], depot: dict[str, int], moment: Callable[[Job], bool]
):
    fleet = new_fleet()
    machine: Machine = read_facts(fleet.enroll("kunpeng-01"))
    before = machine.read.boot_id
    params = {"driver": depot["driver"], "firmware": depot["firmware"]}
    job = launch("install-driver", params, [machine], actor="ada")
    worker = start_worker(job)
    deadline = time.monotonic() + 60
    while not moment(job):
        assert time.monotonic() < deadline and worker.poll() is None
        time.sleep(0.02)
    worker.kill()
    take_over(job)
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 2), job.failure
    machine.refresh_from_db()
    assert machine.read.boot_id != before and len(machine.read.npus) == 4
    assert len(fleet.starts("kunpeng-01")) == 2
    # What the installers wrote down on the machine, line by line, is what the job's log holds: no gap, no repeat.
    written = (fleet.disk("kunpeng-01") / "var/log/ascend_seclog/ascend_install.log").read_text().splitlines()
    assert [line for line in log_of(job).splitlines() if line.startswith(("[Driver]", "[Firmware]"))] == written


@pytest.mark.costly(10)
def test_a_machine_that_loses_its_power_in_the_midst_is_told_of_and_can_be_installed_again(
    new_fleet: Callable[..., Fleet], depot: dict[str, int]
):
    fleet = new_fleet()
    machine = read_facts(fleet.enroll("kunpeng-01"))
    params = {"driver": depot["driver"], "firmware": depot["firmware"]}
    job = launch("install-driver", params, [machine], actor="ada")
    worker = start_worker(job)
    deadline = time.monotonic() + 60
    # Told by the machine itself: what the worker has stored of its log may be older than the installer's end.
    while not fleet.starts("kunpeng-01"):
        assert time.monotonic() < deadline and worker.poll() is None
        time.sleep(0.02)
    fleet.control("power-cut", "kunpeng-01")
    assert worker.wait(60) == 0
    job.refresh_from_db()
    assert job.state == JobState.INTERRUPTED and job.failure["code"] == "machine-rebooted"
    assert "kunpeng-01" in job.failure["cause"] and job.failure["mend"]
    # What had not been finished is not taken for a driver.
    assert read_facts(machine).read.driver is None and len(fleet.starts("kunpeng-01")) == 1

    again = launch("install-driver", params, [machine], actor="ada")
    take_over(again)
    assert again.state == JobState.SUCCEEDED, again.failure
    machine.refresh_from_db()
    assert len(machine.read.npus) == 4 and len(fleet.starts("kunpeng-01")) == 3
