from __future__ import annotations

import re

import pytest

from hardware.npu import Process, parse
from tests.hardware.npu.texts import A3, A5, DDR, HBM, TABLES, said


def test_a_table_of_chips_with_hbm_is_read_cell_by_cell():
    report = parse(HBM)
    assert (report.command, report.layout) == ("npu-smi info", "hbm")
    assert (report.tool_version, report.driver_version) == ("23.0.rc3", "23.0.rc2.3")
    assert [said(chip) for chip in report.chips] == [
        {
            "npu_id": 0, "chip_id": 0, "name": "910B3", "health": "OK", "bus_id": "0000:C1:00.0", "power_w": 91.4,
            "temp_c": 44, "aicore_percent": 97, "memory_used_mb": 4565, "memory_total_mb": 15137,
            "hbm_used_mb": 30710, "hbm_total_mb": 32768, "hugepages_used": 12, "hugepages_total": 1123,
        },
        {
            "npu_id": 3, "chip_id": 0, "name": "910B3", "health": "Critical", "bus_id": "0000:01:00.0", "temp_c": 101,
            "aicore_percent": 0, "memory_used_mb": 0, "memory_total_mb": 0, "hbm_used_mb": 3409,
            "hbm_total_mb": 65536, "hugepages_used": 0, "hugepages_total": 0,
        },
    ]  # fmt: skip
    assert report.processes == [
        Process(0, 0, 139667, "python3.9", 30780),
        Process(0, 0, 139668, "VLLM|Worker_TP", 120),
    ]
    assert (report.samples, report.fields, report.warnings, report.error) == ([], {}, [], None)


def test_a_card_with_several_chips_and_large_ids_is_read_chip_by_chip():
    report = parse(DDR)
    assert (report.layout, report.warnings) == ("ddr", [])
    assert [said(chip) for chip in report.chips] == [
        {
            "npu_id": 2048, "chip_id": 0, "logic_id": 0, "name": "310", "health": "OK", "bus_id": "0000:0A:00.0",
            "power_w": 12.8, "temp_c": 51, "aicore_percent": 0, "memory_used_mb": 2703, "memory_total_mb": 8192,
            "hugepages_used": 0, "hugepages_total": 970,
        },
        {
            "npu_id": 2048, "chip_id": 1, "logic_id": 1, "name": "310", "health": "Warning", "bus_id": "0000:0B:00.0",
            "power_w": 12.8, "temp_c": 53, "aicore_percent": 64, "memory_total_mb": 8192,
            "hugepages_used": 0, "hugepages_total": 970,
        },
        {
            "npu_id": 2050, "chip_id": 3, "logic_id": 7, "name": "310", "health": "UNKNOWN",
            "memory_used_mb": 2703, "memory_total_mb": 8192,
        },
    ]  # fmt: skip


def test_two_dies_of_an_a3_are_two_chips_and_the_second_has_no_power_of_its_own():
    report = parse(A3)
    assert (report.layout, report.driver_version, report.warnings) == ("a3", "26.0.0", [])
    first, second = report.chips
    assert (first.npu_id, first.chip_id, first.phy_id, first.power_w, first.aicore_percent) == (6, 0, 12, 183.0, 100)
    assert (second.npu_id, second.chip_id, second.phy_id, second.power_w, second.temp_c) == (6, 1, 13, None, 37)
    assert (first.logic_id, second.bus_id, second.health) == (None, "0000:87:00.0", "Alarm")
    assert (first.hbm_used_mb, second.hbm_used_mb, second.hbm_total_mb) == (59807, 3200, 65536)
    assert [(process.chip_id, process.pid) for process in report.processes] == [(0, 1774110), (1, 1777209)]
    assert report.fields == {"Process id in container": {"1774110": 412}}


def test_a_950_has_no_chip_id_and_its_npu_utilisation_is_not_passed_off_as_ai_core_use():
    report = parse(A5)
    assert (report.layout, report.warnings) == ("950", [])
    first, second = report.chips
    assert said(first) == {
        "npu_id": 0, "name": "Ascend950PR", "health": "OK", "bus_id": "0000:91:00.0", "power_w": 204.4, "temp_c": 56,
        "memory_used_mb": 0, "memory_total_mb": 0, "hbm_used_mb": 4439, "hbm_total_mb": 86016,
        "hugepages_used": 0, "hugepages_total": 0,
    }  # fmt: skip
    assert (second.npu_id, second.bus_id) == (5, None)
    assert [chip["NPU Util(%)"] for chip in report.fields["chips"]] == [71, 0]
    assert report.processes == [Process(0, None, 395864, "power_test", 5118)]


def test_an_old_table_has_neither_pages_nor_processes():
    old = re.sub(r" {10}Hugepages-Usage\(page\)| +\d+ +/ \d+ {10}\|$", " " * 10, HBM, flags=re.M)
    old = "".join(line for line in old.splitlines(True) if "+--" in line or "==" in line or not line.startswith("+"))
    table = old[: old.index("| NPU     Chip")].replace("Hugepages-Usage(page)", " " * 21)
    rows = re.sub(r"(?m)^(\| \d+     910B3.*?)\d+ +/ \d+( +\|)$", r"\1        \2", table)
    report = parse(rows)
    assert report.warnings == []
    assert [(chip.power_w, chip.temp_c, chip.hugepages_total) for chip in report.chips] == [
        (91.4, 44, None),
        (None, 101, None),
    ]


@pytest.mark.parametrize("layout", TABLES)
def test_a_table_without_its_header_is_read_by_its_shape_and_flagged(layout):
    whole = parse(TABLES[layout])
    report = parse("\n".join(TABLES[layout].splitlines()[6:]))
    assert report.layout == layout
    assert report.chips == whole.chips and report.processes == whole.processes
    assert "header" in report.warnings[0]


@pytest.mark.parametrize("layout", TABLES)
def test_columns_in_another_order_are_read_by_the_headers_words(layout):
    swapped = (
        TABLES[layout]
        .replace("Power(W) ", "Temp(C)  ", 1)
        .replace("Temp(C)                 H", "Power(W)                H")
        .replace("Temp(C)           H", "Power(W)          H")
    )
    assert swapped.count("Power(W)") == 1 and swapped.index("Temp(C)") < swapped.index("Power(W)")
    for chip, straight in zip(parse(swapped).chips, parse(TABLES[layout]).chips, strict=True):
        assert (chip.temp_c, chip.power_w) == (straight.power_w, straight.temp_c)


@pytest.mark.parametrize("layout", TABLES)
def test_one_bad_row_hides_no_other(layout):
    whole = parse(TABLES[layout])
    lines = TABLES[layout].splitlines()
    for place, line in enumerate(lines[6:], 6):
        if not line.startswith("|"):
            continue
        for bad in ("| ????? |", "|" + "x" * 40 + "|", "", "| 0 | 0 |"):
            report = parse("\n".join([*lines[:place], bad, *lines[place + 1 :]]))
            ids = {(chip.npu_id, chip.chip_id) for chip in report.chips}
            assert sum((chip.npu_id, chip.chip_id) not in ids for chip in whole.chips) <= 1, (place, bad)
            assert [chip for chip in report.chips if chip in whole.chips] == [
                chip for chip in whole.chips if chip in report.chips
            ]
            assert sum(chip not in report.chips for chip in whole.chips) <= 1
            if bad and not line.startswith(("| No", "| NPU")):
                assert report.warnings, (place, bad)


def test_a_chip_whose_second_row_is_bad_keeps_what_its_first_row_says():
    report = parse(HBM.replace("| 0                         | 0000:01:00.0  | 0           0 ", "| ???"))
    assert said(report.chips[1]) == {
        "npu_id": 3, "name": "910B3", "health": "Critical", "temp_c": 101, "hugepages_used": 0, "hugepages_total": 0,
    }  # fmt: skip
    assert report.warnings


def test_a_value_that_is_no_number_is_none_and_named():
    report = parse(HBM.replace("30710/ 32768", "3O710/ 32768").replace("97   ", "9 7  "))
    assert report.chips[0].hbm_used_mb is None and report.chips[0].aicore_percent is None
    assert report.chips[0].memory_used_mb == 4565 and report.chips[1].hbm_used_mb == 3409
    assert any("3O710" in warning for warning in report.warnings)


def test_a_table_that_is_not_known_keeps_its_text():
    vnpu = "+-----+\n|  Vnpu ID  |  Vgroup ID  |  Status  |\n+-----+\n|  100      |  0          |  1       |\n+-----+\n"
    report = parse(vnpu)
    assert (report.layout, report.fields, report.chips) == ("unknown", {"raw": vnpu}, [])
    assert report.warnings == ["this layout is not known; the text is kept as it is"]


def test_a_warning_after_the_table_and_noise_before_it_are_kept_apart_from_it():
    noise = "DrvMngGetConsoleLogLevel failed. (g_conLogLevel=3)\n"
    after = "[WARNING]The driver package may not be completely installed, which may cause function abnormal.\n"
    report = parse(noise + HBM + after)
    assert report.chips == parse(HBM).chips and report.error is None
    assert report.warnings == [noise.strip(), after.strip()]


def test_half_of_a_pair_that_can_not_be_read_hides_not_the_other_half():
    report = parse(HBM.replace("4565 / 15137", "xx   / 15137").replace("12   / 1123", "12   / x123"))
    chip = report.chips[0]
    assert (chip.memory_used_mb, chip.memory_total_mb, chip.hugepages_used, chip.hugepages_total) == (
        None,
        15137,
        12,
        None,
    )
    assert (chip.aicore_percent, chip.hbm_used_mb, len(report.warnings)) == (97, 30710, 2)
    assert parse(HBM.replace("97          4565", "N/A         4565")).chips[0].memory_total_mb == 15137


# Made up from the words of the tool's source: no capture of them is known.
OTHER_TABLES = {
    "template-info": """\
+------------------------------------------------------------------------------------------+
|NPU instance template info is:                                                            |
|Name                AICORE    Memory    AICPU     VPC            VENC           JPEGD     |
|                               GB                 PNGD           VDEC           JPEGE     |
|==========================================================================================|
|vir01               1         3         1         1              0              2         |
+------------------------------------------------------------------------------------------+
""",
    "info-vnpu": """\
+-------------------------------------------------------------------------------+
| NPU resource static info as follow:                                           |
| AICORE    Memory    AICPU    VPC    VENC    VDEC    JPEGD    JPEGE    PNGD    |
|            GB                                                                 |
|===============================================================================|
| 20/20     64/64     7/7      9/9    0/0     2/2     24/24    4/4      NA/NA   |
+-------------------------------------------------------------------------------+
""",
}


@pytest.mark.parametrize("kind", OTHER_TABLES)
def test_a_table_of_another_question_is_kept_as_it_is(kind):
    report = parse(OTHER_TABLES[kind], f"npu-smi info -t {kind} -i 0")
    assert (report.layout, report.chips, report.fields) == ("unknown", [], {"raw": OTHER_TABLES[kind]})


def wrong(text: str, layout: str) -> list[object]:
    """What is read out of a part of a table and does not stand in it."""
    whole = {(chip.npu_id, chip.chip_id): said(chip).items() for chip in parse(TABLES[layout]).chips}
    processes = parse(TABLES[layout]).processes
    report = parse(text)
    found: list[object] = []
    for chip in report.chips:
        # Of a chip whose second row is not known it is not known which of its card's it is.
        known = [items for (npu, one), items in whole.items() if npu == chip.npu_id and chip.chip_id in (one, None)]
        if not any(said(chip).items() <= items for items in known):
            found.append(chip)
    for process in report.processes:
        if not any(said(process).items() <= said(known).items() for known in processes):
            found.append(process)
    return found


@pytest.mark.parametrize("layout", TABLES)
def test_however_narrow_the_terminal_was_nothing_wrong_is_read(layout):
    lines = TABLES[layout].replace("VLLM|Worker", "VLLM_Worker").splitlines()
    for width in range(8, 122):
        text = "\n".join(line[:width] for line in lines)
        assert [one for one in wrong(text, layout) if getattr(one, "name", "") != "VLLM_Worker_TP"] == [], width


@pytest.mark.parametrize("layout", TABLES)
def test_wherever_a_copy_of_a_table_begins_nothing_wrong_is_read(layout):
    text = TABLES[layout]
    for start in range(0, len(text), 5):
        assert wrong(text[start:], layout) == [], start
    for column in range(1, 60):
        assert wrong("\n".join(line[column:] for line in text.splitlines()), layout) == [], column


@pytest.mark.parametrize("layout", TABLES)
def test_whichever_line_of_a_table_is_lost_nothing_wrong_is_read(layout):
    lines = TABLES[layout].splitlines()
    for place in range(len(lines)):
        for end in (place + 1, place + 2):
            assert wrong("\n".join([*lines[:place], *lines[end:]]), layout) == [], (place, end)
