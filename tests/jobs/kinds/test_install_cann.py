from __future__ import annotations

import re

import pytest

from hardware.inventory.facts import read
from jobs import registry
from jobs.failures import JobFailed, PlanRefused
from jobs.plan import RunCommand, Step
from jobs.services import launch, plan
from jobs.states import JobState
from tests.jobs.kinds.test_install_kinds import with_facts
from tests.probe_text import probe_text
from tests.shared import FOLDER, needs_shared
from tests.worker import read_facts, work

STEP = Step("cann", "Install CANN", RunCommand("x"))


def test_cann_brings_atc_to_a_machine_that_has_a_driver_and_is_refused_for_one_that_has_none(new_fleet, depot):
    fleet = new_fleet()
    machine = read_facts(fleet.enroll("kunpeng-01"))
    with pytest.raises(PlanRefused, match="npu-smi lists no NPU") as refused:
        launch("install-cann", {"cann": depot["cann"]}, [machine], actor="ada")
    assert "install-driver" in refused.value.mend

    driver = work(launch("install-driver", {key: depot[key] for key in ("driver", "firmware")}, [machine], actor="ada"))
    assert driver.state == JobState.SUCCEEDED, driver.failure
    machine.refresh_from_db()
    job = work(launch("install-cann", {"cann": depot["cann"]}, [machine], actor="ada"))
    assert job.state == JobState.SUCCEEDED, job.failure
    machine.refresh_from_db()
    assert machine.read.cann.version == "8.0.0"
    toolkit = fleet.disk("kunpeng-01") / "usr/local/Ascend/ascend-toolkit"
    assert (toolkit / "set_env.sh").exists() and (toolkit / "latest/bin/atc").is_symlink()


def test_a_toolkit_for_another_architecture_is_refused_before_a_byte_is_copied(machine, depot):
    facts = read(probe_text().replace("aarch64", "x86_64"))
    with pytest.raises(PlanRefused, match=re.escape("Ascend-cann-toolkit_8.0.0_linux-aarch64.run is not for")):
        plan("install-cann", {"cann": depot["cann"]}, [with_facts(machine, facts)])


@needs_shared
def test_the_toolkits_own_closing_line_says_whether_it_was_installed():
    kind = registry.get("install-cann")
    real = (FOLDER / "ascend/other/install-cann-toolkit-SUCCESS--8.0.0.log").read_text()
    assert kind.judge(STEP, 0, real) == {}
    with pytest.raises(JobFailed, match="nothing of success"):
        kind.judge(STEP, 0, real.replace("install success", "install"))
