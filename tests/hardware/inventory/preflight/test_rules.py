"""The rules, each with facts that pass it and facts that do not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hardware.inventory.facts import Facts, Filesystem, Package, read
from hardware.inventory.facts.records import Npu
from hardware.inventory.preflight import Check, Image, Need, Part, evaluate
from tests.probe_text import probe_text

GIB = 1024**3
PAIR = {"driver": "24.1.0", "firmware": "7.5.0.2.220"}
FIRST = "Ascend-hdk-910-npu-driver_24.1.0_linux-aarch64.run"
DEPOT = (
    Part("driver", "24.1.0", name=FIRST, artifact=1, architecture="aarch64", chip="910"),
    Part("driver", "25.5.1", name="for-a2.run", artifact=2, architecture="aarch64", chip="910B"),
    Part("firmware", "7.5.0.2.220", name="Ascend-hdk-910-npu-firmware_7.5.0.2.220.run", artifact=3, chip="910"),
    Part("cann", "8.0.0", name="Ascend-cann-toolkit_8.0.0_linux-aarch64.run", artifact=4, architecture="aarch64"),
)


def facts(**changes: object) -> Facts:
    """A machine with a driver, its firmware and CANN."""
    made = read(probe_text(**PAIR, npus=True, cann="8.0.0", docker=True))
    return replace(made, hwhiaiuser=True, **changes)  # type: ignore[arg-type]


def check(code: str, found: Facts, need: Need) -> Check:
    [one] = [one for one in evaluate(found, need) if one.code == code]
    return one


@pytest.mark.parametrize(
    ("code", "changes", "need", "severity"),
    [
        ("architecture", {"architecture": "x86_64"}, Need(), "block"),
        ("architecture", {"architecture": None}, Need(), "unknown"),
        ("system", {"os_id": "ubuntu", "os_name": "Ubuntu 22.04"}, Need(), "warn"),
        ("system", {"os_name": "Kylin Linux Advanced Server V11 (Swan)"}, Need(), "warn"),
        ("system", {"kernel": "6.6.0-32.7.v2505.ky11.aarch64"}, Need(), "warn"),
        ("system", {}, Need(), "pass"),
        ("system", {"os_id": None, "os_name": None}, Need(), "unknown"),
        ("memory", {}, Need(memory=500 * GIB), "pass"),
        ("memory", {}, Need(memory=1000 * GIB), "block"),
        # What was bought as 512 GiB, less what the kernel keeps.
        ("memory", {"memory_total": 503 * GIB}, Need(memory=512 * GIB), "pass"),
        ("memory", {"memory_total": None}, Need(memory=GIB), "unknown"),
        ("tools-missing", {"missing_tools": ()}, Need(driver_tools=True), "pass"),
        ("tools-missing", {"missing_tools": ("lspci", "ifconfig")}, Need(driver_tools=True), "block"),
        ("driver-user", {}, Need(), "pass"),
        ("free-space", {"filesystems": ()}, Need(free={"/data": GIB}), "unknown"),
    ],
)
def test_a_rule_passes_blocks_or_says_that_it_does_not_know(code, changes, need, severity):
    assert check(code, facts(**changes), need).severity == severity


def test_folders_on_one_file_system_share_its_space():
    root = (Filesystem("/", 100 * GIB, 10 * GIB),)
    need = Need(free={"/usr/local": 6 * GIB, "/var/tmp/x": 6 * GIB})
    told = check("free-space", facts(filesystems=root), need)
    assert told.severity == "block" and "/usr/local, /var/tmp/x" in told.reason and "12.0 GiB" in told.reason


def test_missing_tools_are_mended_by_the_packages_that_have_them():
    told = check("tools-missing", facts(missing_tools=("lspci", "ifconfig")), Need(driver_tools=True))
    assert told.mend is not None and told.mend.params == {"packages": ["pciutils", "net-tools"]}


def test_a_lost_user_warns_with_its_job_and_an_installation_makes_it_itself():
    gone = replace(facts(), hwhiaiuser=False)
    told = check("driver-user", gone, Need())
    assert told.severity == "warn" and told.mend is not None and told.mend.kind == "create-driver-user"
    assert check("driver-user", gone, Need(replaces_driver=True)).severity == "pass"


@pytest.mark.parametrize(
    ("driver", "severity", "said"),
    [
        (None, "pass", "driver first, then firmware"),
        ("23.0.7", "pass", "an upgrade, firmware first"),
        ("24.1.0", "warn", "there already"),
        ("25.0.rc1", "warn", "a downgrade"),
    ],
)
def test_what_is_there_already_says_in_which_order_it_goes(driver, severity, said):
    there = facts(driver=Package(driver) if driver else None, firmware=None)
    told = check("installed", there, Need(installs=(DEPOT[0],), replaces_driver=True))
    assert told.severity == severity and said in told.reason


def test_a_firmware_outside_the_drivers_range_names_the_range_and_the_depots_package_that_mends_it():
    wrong = facts(firmware=Package("7.7.0.1.231"))
    told = check("driver-firmware", wrong, Need(depot=DEPOT))
    assert told.severity == "block" and "7.0.0 – 7.5.99" in told.reason and FIRST in told.reason
    assert told.mend is not None and told.mend.params == {"driver": 1, "firmware": 3}
    missing = check("driver-firmware", wrong, Need(depot=DEPOT[:2]))
    assert missing.mend is None and "Ascend-hdk-910-npu-firmware_7.5.0.2.220.run is missing" in missing.reason


def test_where_no_firmware_suits_the_driver_another_pair_is_named_and_never_what_is_there_already():
    narrow = Package("24.1.0", ranges=(("7.0.0", "7.4.99"),))
    other = replace(
        DEPOT[0], version="23.0.3", name="older-driver.run", artifact=9, ranges=(("firmware", (("7.5", "7.5"),)),)
    )
    found = check("driver-firmware", facts(driver=narrow), Need(depot=(DEPOT[0], DEPOT[2], other)))
    assert found.severity == "block" and found.mend is not None
    assert found.mend.params == {"driver": 1, "firmware": 3} and "7.0.0 – 7.4.99" in found.reason
    chosen = replace(DEPOT[0], ranges=(("firmware", (("7.0.0", "7.4.99"),)),))
    found = check("driver-firmware", facts(driver=narrow), Need(depot=(chosen, DEPOT[2]), installs=(chosen,)))
    assert found.mend is None and "firmware_7.0.0–7.4.99.run is missing" in found.reason


def test_what_a_job_would_install_is_judged_not_what_it_replaces():
    """The pair that is there does not fit; the chosen one does; and a CANN to come is held against the driver."""
    wrong = facts(firmware=Package("6.0.0"))
    assert check("driver-firmware", wrong, Need()).severity == "block"
    chosen = Need(replaces_driver=True, installs=(DEPOT[0], DEPOT[2]))
    assert check("driver-firmware", wrong, chosen).severity == "pass"
    assert not [one for one in evaluate(wrong, Need(replaces_driver=True)) if one.code == "driver-firmware"]
    new = Part("cann", "8.5.0", (("driver", (("V100R001C21", "V100R001C21"),)),), "V100R001C25B1")
    old = facts(driver=Package("24.1.0", (), "V100R001C20B1", (("V100R001C20", "V100R001C20"),)))
    told = check("driver-cann", old, Need(installs=(new,), depot=DEPOT))
    assert told.severity == "block" and "is missing" in told.reason
    nobody = Part("cann", "9.1.0")
    assert check("driver-cann", facts(), Need(installs=(nobody,))).severity == "unknown"


def first_generation(name: str = "910B") -> Facts:
    npus = tuple(Npu(n, 0, name, "OK", f"0000:{slot}:00.0", 32768, "910") for n, slot in enumerate(("01", "41")))
    return facts(npus=npus)


def test_a_first_generation_chip_that_is_called_910b_is_told_by_its_pci_id():
    assert check("chip", facts(), Need()).severity == "pass"
    trap = check("chip", first_generation(), Need())
    assert trap.severity == "warn" and "d801" in trap.reason
    told = check("package-chip", first_generation(), Need(installs=(DEPOT[1],), replaces_driver=True, depot=DEPOT))
    assert told.severity == "block" and told.mend is not None and told.mend.params == {"driver": 1, "firmware": 3}
    newer = replace(facts(), pci_npus=(), npus=(Npu(0, 0, "910B4", "OK", None, 65536, "910B"),))
    pair = (DEPOT[0], DEPOT[2])
    missing = [
        one.values["missing"] for one in evaluate(newer, Need(installs=pair, depot=pair)) if one.code == "package-chip"
    ]
    assert missing == [
        "Ascend-hdk-910b-npu-driver_24.1.0_linux-aarch64.run", "Ascend-hdk-910b-npu-firmware_7.5.0.2.220.run",
    ]  # fmt: skip
    unsure = replace(facts(), pci_npus=(), npus=(Npu(0, 0, "910B", "OK", None, 32768, None),))
    assert check("chip", unsure, Need()).severity == "unknown"
    assert check("package-chip", unsure, Need(installs=(DEPOT[1],))).severity == "unknown"


@pytest.mark.parametrize(
    ("image", "chip", "driver"),
    [
        (Image("bank:1"), "unknown", "unknown"),
        (Image("bank:1", (Part("cann", "8.0.0"),), soc="Ascend910A"), "pass", "pass"),
        (Image("bank:1", (Part("cann", "9.0.0"),), soc="Ascend910B3"), "block", "unknown"),
        (Image("mindie:1.0.0", (Part("mindie", "1.0.0", name="MindIE"),), ("910B",)), "block", "pass"),
        (Image("vllm-ascend:0.11.0", (Part("vllm-ascend", "0.11.0", name="vLLM-Ascend"),)), "block", "unknown"),
    ],
)
def test_a_release_is_judged_by_what_is_in_its_image(image, chip, driver):
    need = Need(image=image)
    assert check("image-chip", facts(), need).severity == chip
    assert check("image-driver", facts(), need).severity == driver


def test_a_cann_that_the_driver_is_too_old_for_names_the_driver_that_takes_it():
    lists = (("driver", (("V100R001C23", "V100R001C23"),)),)
    cann = Part("cann", "8.5.0", lists, "V100R001C25B1")
    old = facts(driver=Package("24.1.0", (), "V100R001C20B1", (("V100R001C20", "V100R001C20"),)))
    told = check("image-driver", old, Need(image=Image("new:1", (cann,)), depot=DEPOT))
    assert told.severity == "block" and "V100R001C23" in told.reason
    assert "Ascend-hdk-910-npu-driver_25.5.0_linux-aarch64.run is missing" in told.reason


def test_unknown_stands_between_what_blocks_and_what_warns_and_every_reason_is_a_sentence():
    found = evaluate(facts(missing_tools=("lspci",)), Need(driver_tools=True, image=Image("bank:1"), memory=GIB))
    order = [one.severity for one in found]
    assert order == sorted(order, key=["block", "unknown", "warn", "pass"].index) and len(set(order)) > 2
    assert all(one.reason.endswith(".") and "%(" not in one.reason for one in found)


def test_a_missing_docker_is_mended_by_the_mediums_package_and_a_command():
    found = check("docker-missing", facts(docker=None), Need(docker=True))
    assert found.severity == "block" and "systemctl enable --now docker" in found.reason
    assert found.mend and (found.mend.kind, found.mend.params) == (
        "install-os-packages",
        {"packages": ["docker-engine"]},
    )
