from __future__ import annotations

import json
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.inventory.facts import PROBE, Facts, read
from hardware.inventory.preflight import Need, evaluate
from tests.probe_text import probe_text


def test_a_bare_kunpeng_machine_is_read_as_it_is():
    facts = read(probe_text())
    assert (facts.hostname, facts.architecture, facts.kernel) == (
        "sim-01",
        "aarch64",
        "4.19.90-24.4.v2101.ky10.aarch64",
    )
    assert (facts.os_id, facts.service_pack) == ("kylin", "SP2")
    assert (facts.cpu.sockets, facts.cpu.cores, facts.cpu.model) == (2, 128, "Kunpeng-920")
    assert facts.memory_total == 536870912 * 1024
    assert [(nic.name, nic.speed_mbps, nic.up) for nic in facts.nics] == [
        ("enp125s0f0", 1000, True),
        ("enp129s0", 25000, True),
    ]
    assert facts.nics[0].addresses == ("10.1.1.5/24",)
    assert [device for _, device in facts.pci_npus] == ["d801"] * 4
    assert facts.raids[0].level == "raid5" and facts.raids[0].size > 2 * 10**12 and facts.raids[0].healthy
    assert facts.npus == () and "npu-smi-missing" in (facts.npu_error or "")
    assert facts.kernel_headers and facts.packages["dkms"] and facts.driver is None and facts.simulated
    assert facts.warnings == ()


def test_facts_come_back_from_json_as_they_went():
    facts = read(probe_text(driver="24.1.0", firmware="7.5.0.2.220"))
    assert Facts.from_json(json.loads(json.dumps(facts.to_json()))) == facts
    assert facts.driver is not None and facts.driver.ranges == (("7.0.0", "7.5.99"),)


def test_the_probe_runs_in_a_plain_shell_and_finds_this_machine():
    done = subprocess.run(["/bin/sh", "-c", PROBE], capture_output=True, text=True, timeout=30, check=True)
    facts = read(done.stdout)
    assert facts.kernel and facts.cpu.threads and facts.memory_total and facts.filesystems
    assert not facts.simulated and facts.npus == ()


@given(st.text() | st.text("@=console-probe \n:0aZ"))
def test_no_text_raises(text):
    json.dumps(read(text).to_json())


NEED = Need(packages=("dkms", "gcc", "make"), kernel_headers=True, free={"/usr/local": 2 * 1024**3}, npus=False)


def severities(facts: Facts, need: Need = NEED) -> dict[str, str]:
    return {check.code: check.severity for check in evaluate(facts, need)}


def test_a_machine_that_fits_passes_every_check():
    assert set(severities(read(probe_text())).values()) == {"pass"}


def test_missing_kernel_headers_block_and_name_the_job_that_mends_it():
    check = evaluate(read(probe_text(headers=False)), NEED)[0]
    assert (check.code, check.severity) == ("kernel-headers", "block")
    assert "4.19.90-24.4" in check.reason
    assert check.mend is not None
    assert (check.mend.kind, check.mend.params) == ("install-os-packages", {"packages": ["kernel-devel"]})


def test_firmware_outside_the_drivers_own_range_blocks_and_one_inside_passes():
    assert severities(read(probe_text(driver="24.1.0", firmware="7.7.0.1.231")))["driver-firmware"] == "block"
    assert severities(read(probe_text(driver="24.1.0", firmware="7.5.0.2.220")))["driver-firmware"] == "pass"


def test_a_driver_job_is_offered_where_npu_smi_lists_nothing():
    check = next(c for c in evaluate(read(probe_text()), Need(npus=True)) if c.code == "npus-healthy")
    assert check.severity == "block" and check.mend is not None and check.mend.kind == "install-driver"


def test_the_clock_is_held_against_the_consoles_within_what_the_answer_took():
    slow = probe_text() + "@@console-probe@@ clock-after\n1764000009.5\n@@console-probe@@ = 0\n"
    assert read(slow, 1763999970.0, 1763999979.6).clock_skew_s == pytest.approx(29.95)
    assert read(slow).clock_skew_s is None and read(slow).clock == 1764000000
    assert read(probe_text(), 1764000000.0, 1764000000.4).clock_skew_s == pytest.approx(-0.2)


def test_a_tool_that_hangs_is_told_and_the_rest_is_read_all_the_same():
    facts = read(
        probe_text().replace("sh: npu-smi: command not found\n@@console-probe@@ = 127", "\n@@console-probe@@ = 124")
    )
    assert (facts.npu_error or "").startswith("timeout:") and facts.kernel
