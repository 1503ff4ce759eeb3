"""What people paste: prompts, colours, other encodings, mail, several outputs, half of one."""

from __future__ import annotations

import re
import time

import pytest

from hardware.npu import parse
from tests.hardware.npu.texts import A3, DDR, HBM, TABLES, said

FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}


def wrapped(text: str, width: int) -> str:
    return "\n".join(
        line[start : start + width] for line in text.splitlines() for start in range(0, max(len(line), 1), width)
    )


DISGUISES = {
    "windows-line-ends": lambda text: text.replace("\n", "\r\n"),
    "old-mac-line-ends": lambda text: text.replace("\n", "\r"),
    "tabs": lambda text: text.replace("  ", "\t"),
    "indented": lambda text: "".join(f"      {line}" for line in text.splitlines(True)),
    "colours": lambda text: "\x1b[32m" + text.replace("OK", "\x1b[1;32mOK\x1b[0m").replace("| 0 ", "|\x1b[K 0 "),
    "colours-without-escape": lambda text: text.replace("OK", "[1;32mOK[0m"),
    "mail": lambda text: "".join(f"> {line}" for line in text.splitlines(True)),
    "log": lambda text: "".join(f"2026-11-25T01:02:03.456Z {line}" for line in text.splitlines(True)),
    "log-of-a-program": lambda text: "".join(f"[2026-11-25 01:02:03] INFO: {line}" for line in text.splitlines(True)),
    "journal": lambda text: "".join(f"Nov 25 01:02:03 node-1 probe[123]: {line}" for line in text.splitlines(True)),
    "numbered": lambda text: "".join(f"{place:6}\t{line}" for place, line in enumerate(text.splitlines(True))),
    "numbered-by-grep": lambda text: "".join(f"{place}:{line}" for place, line in enumerate(text.splitlines(True))),
    "many-machines": lambda text: "".join(f"npu-07: {line}" for line in text.splitlines(True)),
    "markdown": lambda text: re.sub(r"(?m)^\+[-=+]*\+$", "|-----|-----|-----|", text),
    "without-borders": lambda text: re.sub(r"(?m)^\+.*\n", "", text),
    "fenced": lambda text: f"```text\n{text}```\n",
    "box": lambda text: text.translate({ord("|"): "│", ord("-"): "─", ord("="): "═", ord("+"): "┼"}),
    "full-width": lambda text: text.translate(FULL_WIDTH),
    "borders-trimmed": lambda text: "\n".join(line.rstrip("|").rstrip() for line in text.splitlines()),
    "no-break-spaces": lambda text: text.replace("  ", " \u00a0"),
    "prompt": lambda text: f"[root@kunpeng-01 ~]# npu-smi info\n{text}[root@kunpeng-01 ~]# \n",
    "another-prompt": lambda text: f"(base) root@kunpeng:/opt/x# sudo npu-smi info\n{text}",
    "from-a-file": lambda text: f"[root@kunpeng-01 ~]# cat /tmp/npu.txt\n{text}",
}


@pytest.mark.parametrize("layout", TABLES)
@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_table_reads_the_same_however_it_was_copied(layout, disguise):
    text = TABLES[layout].replace("VLLM|Worker", "VLLM_Worker")
    report, plain = parse(DISGUISES[disguise](text)), parse(text)
    assert report.to_json() == plain.to_json()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "gbk", "gb18030"])
def test_a_table_reads_the_same_in_every_encoding_of_a_chinese_desktop(encoding):
    report = parse(f"以下是输出：\n{HBM}".encode(encoding))
    assert report.chips == parse(HBM).chips
    assert report.warnings == ["line not understood: 以下是输出:"]


def test_bytes_that_end_in_the_middle_of_a_character_are_utf8_all_the_same():
    assert parse(f"{HBM}结束".encode()[:-1]).warnings == ["line not understood: 结"]


def test_a_row_that_a_narrow_terminal_broke_in_two_is_one_row():
    assert parse(wrapped(A3, 80)).chips == parse(A3).chips


def test_of_a_row_that_a_narrow_terminal_cut_off_the_last_value_is_not_believed():
    report = parse("\n".join(line[:99] for line in A3.splitlines()))
    assert [(chip.hbm_used_mb, chip.hbm_total_mb) for chip in report.chips] == [(59807, None), (3200, None)]
    assert [chip.power_w for chip in report.chips] == [183.0, None]
    assert any("end of a row is missing" in warning for warning in report.warnings)


def test_a_cut_paste_is_read_as_far_as_it_goes():
    cut = parse(HBM[: HBM.index("| 0                         | 0000:01")])
    assert [chip.npu_id for chip in cut.chips] == [0] and "middle" in cut.warnings[-1]
    within = parse(HBM[: HBM.index("/ 65536") + 4])
    assert [chip.npu_id for chip in within.chips] == [0] and "middle" in within.warnings[-1]
    process = parse(HBM[: HBM.index("30780 ") + 3])
    assert len(process.chips) == 2 and process.processes == [] and "middle" in process.warnings[-1]


def test_lines_that_were_left_out_by_hand_are_said():
    rows = HBM.splitlines(True)
    report = parse("".join([*rows[:6], "...\n", *rows[8:]]))
    assert [chip.npu_id for chip in report.chips] == [3]
    assert report.warnings == ["left out by whoever pasted this: ..."]


@pytest.mark.parametrize("left_out", ["......", "……", "（省略）", "(omitted)"])
def test_rows_around_what_was_left_out_are_not_one_chip(left_out):
    rows = HBM.splitlines(True)
    report = parse("".join([*rows[:7], f"{left_out}\n", *rows[10:]]))
    assert [said(chip) for chip in report.chips] == [
        {"npu_id": 0, "name": "910B3", "health": "OK", "power_w": 91.4, "temp_c": 44, "hugepages_used": 12,
         "hugepages_total": 1123}
    ]  # fmt: skip


def test_a_line_of_the_kernel_within_a_chip_parts_nothing():
    rows = HBM.splitlines(True)
    assert parse("".join([*rows[:7], "[ 123.456] eth0: link up\n", *rows[7:]])).chips == parse(HBM).chips


def test_what_the_last_table_leaves_out_is_not_taken_from_the_one_before_it():
    later = parse(f"[root@h ~]# npu-smi info\n{HBM}[root@h ~]# npu-smi info\n{HBM.replace('91.4', 'NA  ')}")
    assert [sample.power_w for sample in later.samples] == [91.4, None, None, None]
    assert later.chips[0].power_w is None and later.chips[0].temp_c == 44


def test_the_frames_of_a_shells_watch_are_readings_of_the_same_chips():
    head = "Every 2.0s: npu-smi info                        kunpeng-01: Wed Nov 25 01:00:0{} 2026\n\n"
    report = parse(head.format(0) + HBM + "\n" + head.format(2) + HBM.replace("91.4", "92.5"))
    assert report.command == "npu-smi info"
    assert [chip.power_w for chip in report.chips] == [92.5, None]
    assert [(sample.npu_id, sample.power_w) for sample in report.samples] == [
        (0, 91.4),
        (3, None),
        (0, 92.5),
        (3, None),
    ]
    assert len(report.processes) == 2 and "more than once" in report.warnings[-1]


def test_a_screen_that_was_redrawn_is_its_lines():
    report = parse("\x1b[H\x1b[2JEvery 1.0s: npu-smi info  h: Wed Nov 25\x1b[3;1H" + HBM.replace("\n", "\x1b[K\r\n"))
    assert report.chips == parse(HBM).chips


def test_several_outputs_make_one_report_and_their_chips_are_joined_by_id():
    report = parse(
        f"""\
[root@kunpeng-01 ~]# npu-smi info
{HBM}[root@kunpeng-01 ~]# npu-smi info -m
\tNPU ID                         Chip ID                        Chip Logic ID                  Chip Name
\t0                              0                              0                              Ascend 910B3
\t3                              0                              2                              Ascend 910B3
[root@kunpeng-01 ~]# npu-smi info -t temp -i 3 -c 0
\tNPU Temperature (C)            : 102
[root@kunpeng-01 ~]# npu-smi info -t product -i 0
This device does not support querying product.
[root@kunpeng-01 ~]# lspci | grep d80
01:00.0 Processing accelerators: Huawei Technologies Co., Ltd. Device d802 (rev 20)
[root@kunpeng-01 ~]# exit
"""
    )
    assert report.command == (
        "npu-smi info; npu-smi info -m; npu-smi info -t temp -i 3 -c 0; npu-smi info -t product -i 0"
    )
    assert (report.layout, report.driver_version) == ("hbm", "23.0.rc2.3")
    assert [(chip.npu_id, chip.logic_id, chip.name, chip.temp_c) for chip in report.chips] == [
        (0, 0, "910B3", 44),
        (3, 2, "910B3", 102),
    ]
    assert report.error is not None and report.error.code == "unsupported"
    assert len(report.processes) == 2


def test_what_is_said_by_physical_or_bus_id_is_joined_with_the_chip_that_has_it():
    report = parse(
        f"[root@h ~]# npu-smi info -t temp -p 13\n\tNPU Temperature (C)            : 41\n[root@h ~]# npu-smi info\n{A3}"
        "[root@h ~]# npu-smi info -t usages -p 12\n\tAicore Usage Rate(%)           : 7\n"
        "\tAicpu Usage Rate(%)            : 0\n"
        "[root@h ~]# npu-smi info -t board -i 6\n\tNPU ID                         : 6\n"
        "\tPCIe Bus Info                  : 0000:87:00.0\n\tPCI Device ID                  : 0xD803\n"
    )
    assert [(chip.npu_id, chip.chip_id, chip.phy_id, chip.temp_c, chip.aicore_percent) for chip in report.chips] == [
        (6, 0, 12, 38, 7),
        (6, 1, 13, 37, 0),
    ]


def test_chips_that_share_a_bus_id_stay_two():
    duo = DDR.replace("0000:0B:00.0", "0000:0A:00.0")
    board = "[root@h ~]# npu-smi info -t board -i 2048\n\tNPU ID : 2048\n\tPCIe Bus Info : 0000:0A:00.0\n\tPCB ID : A\n"
    report = parse(duo + board)
    assert report.chips[:3] == parse(duo).chips
    assert [said(chip) for chip in report.chips[3:]] == [{"npu_id": 2048, "bus_id": "0000:0A:00.0"}]


def test_a_thousand_chips_of_one_card_cost_no_more_than_their_lines():
    text = "".join(f"NPU ID : 1\nChip ID : {n}\nPCIe Bus Info : 0000:{n % 256:02x}:00.0\n" for n in range(3000))
    begun = time.process_time()
    assert len(parse(text).chips) == 3000
    assert time.process_time() - begun < 5


def test_fields_of_several_outputs_are_kept_apart():
    report = parse(
        "# npu-smi info -t volt -i 0\n\tVoltage(V)                     : 0.72\n"
        "# npu-smi info -t ecc-enable -i 0\n\tHBM ECC-Enable Status          : True\n"
    )
    assert report.fields == {
        "outputs": [
            {"command": "npu-smi info -t volt -i 0", "layout": "fields", "fields": {"Voltage(V)": 0.72}},
            {
                "command": "npu-smi info -t ecc-enable -i 0",
                "layout": "fields",
                "fields": {"HBM ECC-Enable Status": "True"},
            },
        ]
    }


def test_a_card_that_was_listed_first_is_one_with_its_first_chip_and_no_other():
    report = parse(f"\tTotal Count                    : 1\n\n\tNPU ID                         : 6\n{A3}")
    assert [(chip.npu_id, chip.chip_id) for chip in report.chips] == [(6, 0), (6, 1)]


def test_the_ids_that_a_command_asks_for_are_those_of_its_answer():
    by_card = parse("\tNPU Temperature (C)            : 45\n", "npu-smi info -t temp -i 7 -c 1")
    assert [said(chip) for chip in by_card.chips] == [{"npu_id": 7, "chip_id": 1, "temp_c": 45}]
    by_phy = parse("$ npu-smi info -t temp -p 13\n\tNPU Temperature (C)            : 45\n")
    assert [said(chip) for chip in by_phy.chips] == [{"phy_id": 13, "temp_c": 45}]


def test_a_loop_over_cards_is_read_card_by_card():
    answers = "".join(
        f"\tNPU ID                         : {npu}\n\tChip Count                     : 1\n\n"
        f"\tNPU Temperature (C)            : {40 + npu}\n\tChip ID                        : 0\n"
        for npu in (0, 5)
    )
    report = parse(f"[root@h ~]# for i in 0 5; do npu-smi info -t temp -i $i; done\n{answers}")
    assert report.command == "npu-smi info -t temp"
    assert [(chip.npu_id, chip.chip_id, chip.temp_c) for chip in report.chips] == [(0, 0, 40), (5, 0, 45)]
    assert report.fields == {"npus": [{"NPU ID": 0, "Chip Count": 1}, {"NPU ID": 5, "Chip Count": 1}]}


@pytest.mark.parametrize("text", ["", "  \n\n", "hello\n", "a: b\nc: d\n", "|", "+--+", "\x00\x00"])
def test_what_is_no_output_of_npu_smi_is_flagged_and_kept(text):
    report = parse(text)
    assert (report.layout, report.fields, report.chips, len(report.warnings)) == ("unknown", {"raw": text}, [], 1)


def test_the_command_of_an_unknown_output_is_told_where_a_prompt_shows_it():
    text = "[root@h ~]# npu-smi info -t new-thing -i 0\nsomething new\n"
    report = parse(text)
    assert (report.command, report.layout) == ("npu-smi info -t new-thing -i 0", "unknown")
    assert report.fields == {"raw": text} and len(report.warnings) == 1


def test_prose_around_a_table_is_no_command():
    report = parse(f"When I run npu-smi info on this host, I see:\n{DDR}What is wrong?\n")
    assert report.command == "npu-smi info" and report.chips == parse(DDR).chips
    assert len(report.warnings) == 2


def test_what_another_tool_printed_is_not_taken_for_npu_smis():
    for text in (
        "net health status: Success\n",
        "+------+------+\n| Interface Name | IP Address |\n+------+------+\n| end0v0 | 192.168.2.199 |\n",
        "------ NPU BOARD WORK MODE ------\nNPU BOARD ID                  : 1\nWORK MODE                     : SMP\n",
        "Version=23.0.7\npackage_version=23.0.7\n",
        "Architecture:        aarch64\nCPU(s):              192\nModel name:          Kunpeng-920\n",
    ):
        assert parse(text).layout == "unknown", text


@pytest.mark.parametrize("text", ["#" * 100_000 + " npu-smi", "| 0 " + "1/" * 50_000, "NPU ID : " + "9" * 100_000])
def test_a_line_without_end_costs_no_more_than_a_long_one(text):
    report = parse(f"{text}\n{DDR}")
    assert report.chips[-3:] == parse(DDR).chips
