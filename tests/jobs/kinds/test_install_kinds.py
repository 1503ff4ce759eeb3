from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest

from hardware.inventory.facts import Facts, read
from hardware.inventory.models import Machine
from hardware.inventory.preflight import Need, evaluate
from jobs import registry
from jobs.depot.services import ingest
from jobs.failures import JobFailed, PlanRefused
from jobs.plan import RunCommand, Step
from jobs.services import launch, plan
from tests.probe_text import KERNEL, probe_text
from tests.shared import FOLDER, needs_shared


def with_facts(machine: Machine, facts: Facts) -> Machine:
    machine.facts = facts.to_json()
    machine.save()
    return machine


@pytest.fixture
def packages(settings, tmp_path: Path, transactional_db) -> dict[str, int]:
    settings.DEPOT_DIR = tmp_path / "depot"
    driver = "Ascend-hdk-910-npu-driver_24.1.0_linux-aarch64.run"
    firmware = "Ascend-hdk-910-npu-firmware_7.5.0.2.220.run"
    return {
        "driver": ingest(BytesIO(b"driver"), name=driver, type="driver", actor="ada").pk,
        "firmware": ingest(BytesIO(b"firmware"), name=firmware, type="firmware", actor="ada").pk,
    }


def test_a_first_installation_is_driver_then_firmware_an_upgrade_the_other_way_round(machine, packages):
    bare, _ = plan("install-driver", packages, [with_facts(machine, read(probe_text()))])
    keys = [step.key for step in bare.stages[0].lanes[0].steps]
    assert keys == ["send-driver", "send-firmware", "user", "driver", "firmware", "reboot", "verify"]
    upgrade, _ = plan("install-driver", packages, [with_facts(machine, read(probe_text(driver="23.0.7")))])
    keys = [step.key for step in upgrade.stages[0].lanes[0].steps]
    assert keys.index("firmware") < keys.index("driver")


def test_the_plan_names_the_exact_command_and_expects_every_chip_of_the_bus(machine, packages):
    made, _ = plan("install-driver", packages, [with_facts(machine, read(probe_text()))])
    steps = {step.key: step for step in made.stages[0].lanes[0].steps}
    action = steps["driver"].action
    assert isinstance(action, RunCommand)
    assert action.command.endswith(
        "./Ascend-hdk-910-npu-driver_24.1.0_linux-aarch64.run --full --install-for-all --quiet"
    )
    assert steps["verify"].action.expect == {"npus": 4}


def test_what_can_not_be_installed_is_refused_when_it_is_asked_for(machine, packages):
    with pytest.raises(PlanRefused, match="not been probed"):
        plan("install-driver", packages, [machine])
    with_facts(machine, read(probe_text()))
    with pytest.raises(PlanRefused, match="no driver artifact 999"):
        plan("install-driver", {**packages, "driver": 999}, [machine])
    with pytest.raises(PlanRefused, match="no kernel-devel for kernel"):
        plan("install-os-packages", {"packages": ["kernel-devel"]}, [machine])


def test_kernel_headers_are_taken_from_the_depot_for_the_running_kernel_only(machine, packages):
    version = KERNEL.removesuffix(".aarch64")
    for ours, name in ((version, "right"), ("4.19.90-52.22.v2207.ky10", "other")):
        meta = {"package": "kernel-devel", "architecture": "aarch64"}
        ingest(BytesIO(name.encode()), name=f"{name}.rpm", type="os-package", actor="ada", version=ours, meta=meta)
    made, _ = plan("install-os-packages", {"packages": ["kernel-devel"]}, [with_facts(machine, read(probe_text()))])
    install = made.stages[0].lanes[0].steps[1].action
    assert isinstance(install, RunCommand) and install.command.endswith("/right.rpm")


STEP = Step("driver", "Install driver", RunCommand("x"))


@needs_shared
def test_the_installers_own_closing_line_says_whether_to_restart():
    kind = registry.get("install-driver")
    logs = FOLDER / "ascend" / "other"
    told = (logs / "install-driver-full-SUCCESS-reboot-needed--24.1.0-910.log").read_text()
    not_told = (logs / "install-driver-full-SUCCESS-noreboot--25.0.rc1.1.log").read_text()
    assert kind.judge(STEP, 0, told) == {"reboot_needed": True}
    assert kind.judge(STEP, 0, not_told) == {"reboot_needed": False}


@pytest.mark.parametrize(
    ("log", "mend"),
    [
        ("[ERROR]\x1b[31mDrv_dkms_env_check failed, details in : /var/log/x \x1b[0m", "kernel headers"),
        ("[ERROR]ERR_NO:0x0094;ERR_DES:There is already a process being executed", "other installer"),
        ("[Driver] [ERROR] ERR_NO:0x0091; ERR_DES: HwHiAiUser not exists!", "HwHiAiUser"),
    ],
)
def test_a_refusal_is_told_in_the_installers_words_with_what_to_do(log, mend):
    with pytest.raises(JobFailed) as failed:
        registry.get("install-driver").judge(STEP, 1, log)
    assert failed.value.code == "installer-refused" and mend in failed.value.mend and "\x1b" not in failed.value.cause


def test_an_exit_code_of_0_without_the_closing_line_is_a_failure():
    with pytest.raises(JobFailed, match="nothing of success"):
        registry.get("install-driver").judge(STEP, 0, "Verifying archive integrity...")


def test_a_firmware_that_does_not_fit_stops_every_job_but_the_one_that_mends_it(machine, packages, settings):
    # The driver of this text takes firmware 7.0.0 to 7.5.99.
    facts = read(probe_text(driver="24.1.0", firmware="6.0.0", npus=True, docker=True))
    with_facts(machine, facts)
    blocking = [check.code for check in evaluate(facts, Need(npus=True)) if check.severity == "block"]
    assert blocking == ["driver-firmware"]
    assert launch("install-driver", packages, [machine], actor="ada").pk
