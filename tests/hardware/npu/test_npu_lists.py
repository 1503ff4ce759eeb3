from __future__ import annotations

import pytest

from hardware.npu import parse
from tests.hardware.npu.texts import said


def test_a_mapping_gives_the_logic_and_physical_ids_and_keeps_microcontrollers_apart():
    report = parse(
        "\tNPU ID                         Chip ID                        Chip Logic ID                  "
        "Chip Phy-ID                    Chip Name                     \n"
        "\t0                              0                              0                              "
        "0                              Ascend910\n"
        "\t0                              1                              1                              "
        "1                              Ascend910\n"
        "\t0                              2                              -                              "
        "-                              Mcu                           \n"
        "\t0                              3                              -                              "
        "-                              3559                          \n"
    )
    assert (report.command, report.layout, report.warnings) == ("npu-smi info -m", "mapping", [])
    assert [said(chip) for chip in report.chips] == [
        {"npu_id": 0, "chip_id": 0, "logic_id": 0, "phy_id": 0, "name": "Ascend910"},
        {"npu_id": 0, "chip_id": 1, "logic_id": 1, "phy_id": 1, "name": "Ascend910"},
    ]
    assert report.fields == {"Mcu": [{"npu_id": 0, "chip_id": 2}], "3559": [{"npu_id": 0, "chip_id": 3}]}


def test_a_mapping_whose_blanks_were_squeezed_reads_the_same():
    report = parse("NPU ID Chip ID Chip Logic ID Chip Name\n2048 0 3 Ascend 310P3\n2048 1 - Mcu\n2052 0 x Ascend\n")
    assert [said(chip) for chip in report.chips] == [
        {"npu_id": 2048, "chip_id": 0, "logic_id": 3, "name": "Ascend 310P3"}
    ]
    assert report.warnings == ["row not understood: 2052 0 x Ascend"]


def test_a_mapping_of_a_950_tells_slots():
    report = parse("NPU ID  Slot ID  Chip ID  Chip Phy-ID  Chip Name\n0  3  0  5  Ascend950PR\n")
    assert [said(chip) for chip in report.chips] == [{"npu_id": 0, "chip_id": 0, "phy_id": 5, "name": "Ascend950PR"}]
    assert report.fields == {"npus": [{"NPU ID": 0, "Slot ID": 3}]}


def test_a_topology_tells_the_link_of_every_pair():
    report = parse(
        "\t   NPU0       NPU1       NPU4       CPU Affinity\n"
        "NPU0       X          HCCS       SYS        0-23\n"
        "NPU1       HCCS       X          PHB        0-23,48-71\n"
        "NPU4       SYS        PHB\n\nLegend:\n\n  X    = Self\n  PHB  = Path traversing PCIe and the host bridge.\n"
    )
    assert (report.command, report.layout) == ("npu-smi info -t topo", "topology")
    assert report.fields == {
        "topology": {
            "NPU0": {"NPU0": "X", "NPU1": "HCCS", "NPU4": "SYS"},
            "NPU1": {"NPU0": "HCCS", "NPU1": "X", "NPU4": "PHB"},
        },
        "cpu_affinity": {"NPU0": "0-23", "NPU1": "0-23,48-71"},
        "legend": {"X": "Self", "PHB": "Path traversing PCIe and the host bridge."},
    }
    assert [chip.npu_id for chip in report.chips] == [0, 1]
    assert report.warnings == ["row not understood: NPU4       SYS        PHB"]


def test_a_topology_of_dies_names_them_by_their_physical_ids():
    report = parse("   Phy-ID0    Phy-ID1    CPU Affinity\n  Phy-ID0  X  SIO  0-39\n  Phy-ID1  SIO  X  40-79\n")
    assert [said(chip) for chip in report.chips] == [{"phy_id": 0}, {"phy_id": 1}]
    assert report.fields["topology"]["Phy-ID0"] == {"Phy-ID0": "X", "Phy-ID1": "SIO"}


def test_watch_gives_a_sample_a_row_with_what_was_asked_for():
    report = parse(
        "NpuID(Idx)  ChipId(Idx) Pwr(W)      Temp(C)     AI Core(%)  AI Cpu(%)   Memory(%)   \n"
        "6           0           183.0       38          100         2           91          \n"
        "6           1           -           37          NA          NA          0           \n"
        "7           0           x           37          0           0           0           \n"
        "7           0           180\n^C\n"
    )
    assert (report.command, report.layout, report.chips) == ("npu-smi info watch", "watch", [])
    assert [said(sample) for sample in report.samples] == [
        {"npu_id": 6, "chip_id": 0, "power_w": 183.0, "temp_c": 38, "aicore_percent": 100},
        {"npu_id": 6, "chip_id": 1, "temp_c": 37},
    ]
    assert report.fields == {"samples": [{"AI Cpu(%)": 2, "Memory(%)": 91}, {"AI Cpu(%)": None, "Memory(%)": 0}]}
    assert len(report.warnings) == 2


def test_watch_of_temperature_alone_has_no_power():
    report = parse("$ npu-smi info watch -i 0 -s t\nNpuID(Idx)  Temp(C)     \n0           84\n0           83\n")
    assert report.command == "npu-smi info watch -i 0 -s t"
    assert [said(sample) for sample in report.samples] == [{"npu_id": 0, "temp_c": 84}, {"npu_id": 0, "temp_c": 83}]
    assert report.fields == {}


def test_help_tells_the_types_that_this_version_knows():
    report = parse(
        "Usage: npu-smi info <watch|proc|-h|-m|-l|-t type> [Options...]\n\nCommands:\n"
        "       -t type        Show information for type\n                      type: board, common, health,\n"
        "                            proc-mem, topo.\n\nOptions:\n       -i %d          NPU ID\n"
    )
    assert (report.command, report.layout) == ("npu-smi info -h", "help")
    assert report.fields["types"] == ["board", "common", "health", "proc-mem", "topo"]


def test_a_version_is_the_tools():
    report = parse("npu-smi version: 24.1.rc2\n")
    assert (report.command, report.layout, report.tool_version) == ("npu-smi -v", "version", "24.1.rc2")


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("NpuID(Idx)  Pwr(W)      Temp(C)\n0           90.1        100\n1           90.1        10", {"temp_c": None}),
        ("NPU ID   Chip ID   Chip Logic ID   Chip Name\n0  0  0  Ascend 910B4\n1  0  1  Ascend 910B", {"name": None}),
    ],
)
def test_of_a_last_row_that_is_shorter_than_the_one_before_it_the_last_cell_is_not_believed(text, last):
    cut, whole = parse(text), parse(f"{text}\n")
    one, other = ((report.samples or report.chips)[-1] for report in (cut, whole))
    assert said(one) == {name: value for name, value in said(other).items() if name not in last}
    assert "end of a row is missing" in cut.warnings[0] and whole.warnings == []


def test_a_link_that_is_cut_off_is_not_told():
    report = parse("  NPU0  NPU1\nNPU0  X  HCCS\nNPU1  HCCS  ")
    assert report.fields["topology"] == {"NPU0": {"NPU0": "X", "NPU1": "HCCS"}}
    report = parse("       NPU0   NPU1\nNPU0   X      HCCS\nNPU1   HCCS   X      ")
    assert report.fields["topology"]["NPU1"] == {"NPU0": "HCCS", "NPU1": "X"}
