"""What a probe reads off a machine whose driver is loaded: through SSH, from what its own tools print."""

from __future__ import annotations

import shutil

import pytest
from django.contrib.auth.models import User

from hardware.inventory.facts import Container, Facts, NpuPort, held
from hardware.inventory.preflight import Claim, Need, evaluate
from jobs.software.cann import LOAD
from tests.driven import NAME, Driven
from tests.worker import read_facts


@pytest.fixture
def probe(driven: Driven, transactional_db: None):
    machine = driven.fleet.enroll(NAME)

    def read() -> Facts:
        found = read_facts(machine).read
        assert found is not None
        return found

    return read


def verdict(facts: Facts, code: str, claim: Claim | None = None) -> tuple[str, str]:
    check = next(c for c in evaluate(facts, Need(claim=claim)) if c.code == code)
    return check.severity, check.reason


def test_one_probe_reads_topology_ports_drives_clock_and_that_nobody_holds_an_npu(probe):
    facts = probe()
    assert facts.topology.links["NPU0"] == {"NPU1": "HCCS", "NPU2": "HCCS", "NPU3": "HCCS"}
    assert facts.topology.cpus["NPU3"] == "96-127"
    assert facts.npu_ports[0] == NpuPort(0, "192.168.10.21", "255.255.255.0", None, "UP")
    assert [(port.npu, port.address, port.link) for port in facts.npu_ports[2:]] == [(2, None, "UP"), (3, None, "UP")]
    assert [(disk.name, disk.transport) for disk in facts.disks] == [
        ("nvme0n1", "nvme"), ("nvme1n1", "nvme"), ("nvme2n1", "nvme"), ("nvme3n1", "nvme"), ("sda", "sata"),
    ]  # fmt: skip
    assert facts.raids[0].members == ("nvme0n1", "nvme1n1", "nvme2n1", "nvme3n1")
    assert facts.clock_skew_s is not None and abs(facts.clock_skew_s) < 2
    assert facts.runtimes["docker"] == "18.09.0" and (facts.docker or "").startswith("Docker version 18.09.0")
    assert [npu.node for npu in facts.npus] == [0, 1, 2, 3]
    assert (facts.containers, facts.holders, facts.warnings) == ((), (), ())
    for code in ("raid", "clock", "npu-links", "management-nic", "service-nic", "npus-on-bus"):
        assert verdict(facts, code)[0] == "pass", code
    assert verdict(facts, "npu-held", Claim(driver=True))[0] == "pass"


def test_who_holds_an_npu_is_read_as_process_and_as_container_without_its_secrets(probe, driven):
    with driven.process("davinci1") as pid, driven.container("mindie", [2, 3]) as inside:
        facts = probe()
    assert facts.containers == (Container("mindie", "6d696e646965", "bank:1", (2, 3), inside, False, "running"),)
    assert [(one.pid, one.name, one.npus, one.container) for one in facts.holders if one.pid == pid] == [
        (pid, "sleep", (1,), None)
    ]
    assert held(facts) == {1: ["sleep"], 2: ["container mindie"], 3: ["container mindie"]}
    assert "s3cr3t" not in str(facts.to_json())
    assert verdict(facts, "npu-held", Claim((0,)))[0] == "pass"
    assert verdict(facts, "npu-held", Claim((2,), replaces=("mindie",)))[0] == "pass"
    assert verdict(facts, "npu-held", Claim((0, 1))) == (
        "block", f"NPU 1 is held by process sleep (pid {pid}): stop it, or choose other NPUs.",
    )  # fmt: skip
    severity, reason = verdict(facts, "npu-held", Claim((2,)))
    assert severity == "block" and "NPU 2 is held by container mindie" in reason


def test_a_process_with_the_managers_node_alone_is_in_the_way_of_the_driver_only(probe, driven):
    with driven.process("davinci_manager") as pid:
        facts = probe()
    assert verdict(facts, "npu-held", Claim((0, 1, 2, 3)))[0] == "pass"
    assert verdict(facts, "npu-held", Claim(driver=True)) == (
        "block", f"Process sleep (pid {pid}) has the NPU driver open: stop it.",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "words", "code", "severity", "said"),
    [
        ("clock-skew", ["30"], "clock", "warn", "30 s ahead"),
        ("clock-skew", ["-3600"], "clock", "block", "3600 s behind"),
        ("link-down", ["1"], "npu-links", "warn", "port of NPU 1 is down"),
    ],
)
def test_a_wrong_clock_and_a_link_that_is_down_are_told_by_preflight(probe, driven, kind, words, code, severity, said):
    with driven.fault(kind, *words):
        found = verdict(probe(), code)
    assert found[0] == severity and said in found[1]


def test_the_slot_that_npu_smi_does_not_list_is_named(probe, driven):
    driven.fleet.control("fault", NAME, "npu-silent=2")
    try:
        assert verdict(probe(), "npus-on-bus") == (
            "block", "PCI lists 4 NPUs, npu-smi 3: 41:00.0 is missing there.",
        )  # fmt: skip
    finally:
        driven.fleet.control("fault", NAME)


def test_the_pages_show_who_holds_which_npu_and_what_changed_in_words(probe, driven, client):
    client.force_login(User.objects.create_user("ada"))
    probe()
    with driven.process("davinci1") as pid, driven.container("mindie", [2]), driven.fault("link-down", "1"):
        probe()
    page = client.get(f"/machines/{NAME}/").content.decode()
    assert f"pid {pid}" in page and "container mindie" in page and "192.168.20.21" in page
    assert "Every NPU reaches every other by HCCS." in page and "4 × 1.7 TiB" in page
    told = client.get(f"/machines/{NAME}/changes/").content.decode()
    assert "Who holds NPU 2" in told and "Network port of NPU 1: link" in told and str(pid) not in told
    (change,) = client.get(f"/api/v1/machines/{NAME}/changes/").json()
    assert {one["path"] for one in change["differences"]} == {
        "containers.mindie.image", "containers.mindie.npus", "containers.mindie.privileged", "holders.1", "holders.2",
        "npu_ports.1.link",
    }  # fmt: skip


def test_a_cann_of_8_5_is_found_where_it_lies_and_its_environment_is_loaded_before_an_older_ones(probe, driven: Driven):
    ascend = driven.fleet.disk(NAME) / "usr/local/Ascend"
    asked = f"{LOAD} 2>&1 && echo $ASCEND_HOME_PATH"
    assert probe().cann is None and "/usr/local/Ascend/ascend-toolkit/set_env.sh" in driven.say(asked)
    try:
        for home, latest, version in (("ascend-toolkit", "latest", "8.0.0"), ("cann-8.5.0", "", "8.5.0")):
            said = ascend / home / latest / "aarch64-linux/ascend_toolkit_install.info"
            said.parent.mkdir(parents=True)
            said.write_text(f"package_name=Ascend-cann-toolkit\nversion={version}\narch=aarch64\n")
            (ascend / home / "set_env.sh").write_text(f"export ASCEND_HOME_PATH=/usr/local/Ascend/{home}\n")
        old = probe().cann
        assert old and old.version == "8.0.0" and driven.say(asked) == "/usr/local/Ascend/ascend-toolkit"
        (ascend / "cann").symlink_to("cann-8.5.0")
        new = probe().cann
        assert new and new.version == "8.5.0" and driven.say(asked) == "/usr/local/Ascend/cann-8.5.0"
    finally:
        (ascend / "cann").unlink(missing_ok=True)
        for home in ("ascend-toolkit", "cann-8.5.0"):
            shutil.rmtree(ascend / home, ignore_errors=True)
