"""Machines that are not as they should be: one clear sentence, the mend, and nothing left half done."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jobs.services import launch
from jobs.states import JobState
from tests.fleet import Fleet
from tests.worker import log_of, read_facts, work


@pytest.mark.costly(10)
def test_a_driver_that_does_not_build_fails_the_job_in_the_installers_words(
    new_fleet: Callable[..., Fleet], depot: dict[str, int]
):
    fleet = new_fleet(machines=1, faults=["kunpeng-01=driver-fails"])
    machine = read_facts(fleet.enroll("kunpeng-01"))
    params = {"driver": depot["driver"], "firmware": depot["firmware"]}
    job = work(launch("install-driver", params, [machine], actor="ada"))
    assert job.state == JobState.FAILED and b"ompile" not in log_of(job)
    assert "Dkms install failed, details in : /var/log/ascend_seclog/ascend_install.log" in job.failure["cause"]
    assert "ascend_install.log" in job.failure["mend"] and len(fleet.starts("kunpeng-01")) == 1
    assert read_facts(machine).read.driver is None
