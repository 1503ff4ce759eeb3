from __future__ import annotations

import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from hardware.inventory.facts import Facts, read
from hardware.inventory.models import Machine
from hardware.inventory.preflight import Need, evaluate
from jobs import registry
from jobs.depot.contents import image_of, part_of
from jobs.depot.services import ingest
from jobs.failures import JobFailed, PlanRefused
from jobs.kind import ArtifactRef
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
    assert keys == ["free", "send-driver", "send-firmware", "user", "driver", "firmware", "reboot", "verify"]
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


def test_a_package_for_another_chip_is_refused_before_a_byte_is_copied_and_the_right_one_is_named(machine, packages):
    """The machine's chips are first-generation; an A2 driver would be copied and then find no chip."""
    name = "Ascend-hdk-910b-npu-driver_25.5.1_linux-aarch64.run"
    other = ingest(BytesIO(b"other"), name=name, type="driver", actor="ada").pk
    with_facts(machine, read(probe_text()))
    with pytest.raises(PlanRefused, match="is for 910B; the NPUs of this machine are 910") as refused:
        launch("install-driver", {**packages, "driver": other}, [machine], actor="ada")
    assert "Ascend-hdk-910-npu-driver_24.1.0" in refused.value.cause and refused.value.code == "preflight-blocked"


def test_the_ranges_of_a_package_are_read_when_it_is_ingested(packages, tmp_path):
    """In front of the payload of a simulated one, inside the payload of a real one."""
    said = "Version=25.0.rc1\ncompatible_version_fw=[7.0.0,7.7.99]\nInnerversion=V100R001C21\n"
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo("./version.info")
        entry.size = len(said)
        archive.addfile(entry, BytesIO(said.encode()))
    for number, content in enumerate((said.encode(), b'#!/bin/sh\nskip="3"\n\n' + packed.getvalue())):
        name = f"Ascend-hdk-910-npu-driver_25.0.rc{number}_linux-aarch64.run"
        ref = ingest(BytesIO(content), name=name, type="driver", actor="ada").ref()
        assert part_of(ref).ranges_of("firmware") == (("7.0.0", "7.7.99"),), name
    odd = ingest(BytesIO(b"\x1f\x8b\x08broken"), name="odd.run", type="driver", actor="ada")
    assert "version_info" not in odd.meta


def test_the_user_is_made_again_where_it_was_lost(machine):
    made, _ = plan("create-driver-user", {}, [with_facts(machine, read(probe_text()))])
    steps = made.stages[0].lanes[0].steps
    assert [step.key for step in steps] == ["user", "verify"] and "groupadd HwHiAiUser" in steps[0].action.command


@pytest.mark.parametrize(
    ("reference", "parts", "chips"),
    [
        ("quay.io/ascend/vllm-ascend:v0.11.0-a3", {"vllm-ascend": "0.11.0"}, ("A3",)),
        ("vllm-ascend:v0.13.0rc1", {"vllm-ascend": "0.13.0rc1"}, ("910B",)),
        ("x/mindie:1.0.0-800I-A2-py311-openeuler24.03-lts", {"mindie": "1.0.0"}, ("910B",)),
        ("x/mindie:2.1.RC1-300I-Duo-py311", {"mindie": "2.1.RC1"}, ("310P",)),
        ("bank/support:1", {"cann": "8.0.0"}, ()),
    ],
)
def test_what_is_in_an_image_is_said_by_its_meta_or_by_its_name(reference, parts, chips):
    meta = {"image": reference} | ({"cann": "8.0.0"} if "cann" in parts else {})
    image = image_of(ArtifactRef(1, "image", "x.tar", "1", "0" * 64, 1, meta))
    assert {part.what: part.version for part in image.parts} == parts and image.chips == chips
