from __future__ import annotations

from dataclasses import replace

import pytest

from hardware.inventory.facts import Container, Holder, held, read
from hardware.inventory.facts.containers import read_containers, read_runtimes, visible_devices
from hardware.inventory.facts.difference import differences
from hardware.inventory.facts.holders import node_of, read_holders
from hardware.npu import parse
from tests.probe_text import probe_text
from tests.shared import FOLDER, needs_shared

MINDIE = "3f" * 32
SERVING = "aa" * 32
OURS = f"""\
container {SERVING} 900 false running /console-bot-1
image bot:1
runtime runc
devices [{{"PathOnHost":"/dev/davinci0","PathInContainer":"/dev/davinci0","CgroupPermissions":"rwm"}},\
{{"PathOnHost":"/dev/davinci_manager","PathInContainer":"/dev/davinci_manager","CgroupPermissions":"rwm"}}]
env
container {MINDIE} 4700 true running /mindie
image ascendhub/mindie:1.0.0
runtime ascend
devices null
env "ASCEND_VISIBLE_DEVICES=2-3"
"""
NODES = tuple(f"/dev/davinci{n}" for n in range(4))


def test_containers_are_read_with_the_npus_that_devices_and_ascends_runtime_gave_them():
    assert read_containers(OURS, NODES) == (
        Container("console-bot-1", SERVING[:12], "bot:1", (0,), 900, False, "running"),
        Container("mindie", MINDIE[:12], "ascendhub/mindie:1.0.0", (2, 3), 4700, True, "running"),
    )


def test_without_ascends_runtime_the_variable_gives_a_container_nothing():
    assert read_containers(OURS.replace("runtime ascend", "runtime runc"), NODES)[1].npus == ()


@pytest.mark.parametrize(
    ("value", "npus"),
    [
        ("0-3", [0, 1, 2, 3]),
        ("0,2", [0, 2]),
        ("0-1,3", [0, 1, 3]),
        ("all", [0, 1]),
        ("void", []),
        ("", []),
        ("3-1", []),
    ],
)
def test_visible_devices_are_single_numbers_ranges_and_mixes(value, npus):
    assert visible_devices(value, (0, 1)) == npus


def test_a_process_is_in_the_container_of_its_control_group_or_of_its_parents():
    text = f"""\
node 4711 /dev/davinci2
node 4711 /dev/davinci_manager
node 950 /dev/davinci0
node 77 /dev/davinci1
node 88 /dev/davinci_manager
node 99 /dev/davinci_manager
machine {"00" * 32}
process 4711 4711,4690 {MINDIE} mindie_llm_back
process 950 950,900,880 {"00" * 32} python3.9
process 77 77,70 {"00" * 32} python train.py
process 88 88 - npu-exporter
process 99 99 - npu-smi
sh: cannot open /proc/123/comm: No such file
"""
    containers = read_containers(OURS, NODES)
    assert read_holders(text, [], [], containers) == (
        Holder(77, "python train.py", (1,)),
        Holder(88, "npu-exporter", ()),
        Holder(950, "python3.9", (0,), "console-bot-1"),
        Holder(4711, "mindie_llm_back", (2,), "mindie"),
    )
    unlisted = read_holders(text, [], [], ())
    assert [one.container for one in unlisted if one.pid == 4711] == [MINDIE[:12]]


@needs_shared
def test_npu_smis_own_table_names_holders_with_their_memory():
    report = parse((FOLDER / "ascend/npu-smi/info--910A-8card-procs--23.0.rc2.3.txt").read_text())
    found = read_holders("", report.processes, report.chips, ())
    assert len(found) == 8 and found[-1] == Holder(139667, "python", (0,), None, 30780)


@needs_shared
def test_a_chip_of_two_dies_is_counted_as_its_device_node_is():
    text = (FOLDER / "ascend/npu-smi/info--A3-2of8-procs-in-container-col--26.0.rc1.txt").read_text()
    report = parse(text)
    assert [node_of(chip, report.chips) for chip in report.chips] == [0, 1, 10, 11]
    assert [one.npus for one in read_holders("", report.processes, report.chips, ())] == [(0,), (1,)]


def test_who_holds_an_npu_is_compared_by_name_so_that_a_restart_is_no_change():
    facts = replace(
        read(probe_text(npus=True)),
        containers=(Container("mindie", "3f3f", "mindie:1", (2,), 4700),),
        holders=(Holder(4711, "worker", (2,), "mindie"), Holder(77, "python", (1,))),
    )
    assert held(facts) == {1: ["python"], 2: ["container mindie"]}
    again = replace(
        facts,
        containers=(Container("mindie", "9a9a", "mindie:1", (2,), 5200),),
        holders=(Holder(5211, "worker", (2,), "mindie", 30_000), Holder(5300, "python", (1,))),
    )
    assert differences(facts, again) == []
    found = differences(facts, replace(again, holders=again.holders[:1]))
    assert [(one.path, one.before, one.after) for one in found] == [("holders.1", ["python"], None)]


def test_runtimes_are_named_with_their_versions():
    text = (
        "Docker version 18.09.0, build 172f8da\n"
        "containerd github.com/containerd/containerd v1.2.0 85f6aa58b8a3170aec9824568f7a31832878b603\n"
        "isula version 2.0.8\nascend-docker-runtime\ndefault-runtime ascend\nsed: can't read x\n"
    )
    assert read_runtimes(text) == {
        "docker": "18.09.0", "containerd": "1.2.0", "isula": "2.0.8", "ascend-docker-runtime": "", "default": "ascend",
    }  # fmt: skip
