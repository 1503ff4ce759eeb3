from __future__ import annotations

import pytest

from hardware.npu import Process, parse
from tests.hardware.npu.texts import said

DUO = """\
\tNPU ID                         : 2944
\tChip Count                     : 2

\tDDR Capacity(MB)               : 44278
\tDDR Usage Rate(%)              : 2
\tDDR Hugepages Total(page)      : 970
\tAicore Usage Rate(%)           : 0
\tVectorcore Usage Rate(%)       : 0
\tChip ID                        : 0

\tDDR Capacity(MB)               : 43693
\tDDR Usage Rate(%)              : 3
\tDDR Hugepages Total(page)      : 0
\tAicore Usage Rate(%)           : 91
\tVectorcore Usage Rate(%)       : 4
\tChip ID                        : 1
"""
COMMON = """\
\tNPU ID                         : 2944
\tChip Count                     : 2

\tChip ID                        : 0
\tMemory Usage Rate(%)           : 2
\tAicore Usage Rate(%)           : 0
\tTemperature(C)                 : 45

\tChip ID                        : 1
\tMemory Usage Rate(%)           : 3
\tAicore Usage Rate(%)           : 7
\tTemperature(C)                 : 47

\tChip Name                      : mcu
\tTemperature(C)                 : 48
\tNPU Real-time Power(W)         : 42.8
"""


def test_the_id_below_a_block_is_that_of_the_block():
    report = parse(DUO)
    assert (report.command, report.layout, report.warnings) == ("npu-smi info -t usages", "fields", [])
    assert [said(chip) for chip in report.chips] == [
        {"npu_id": 2944, "chip_id": 0, "memory_total_mb": 44278, "hugepages_total": 970, "aicore_percent": 0},
        {"npu_id": 2944, "chip_id": 1, "memory_total_mb": 43693, "hugepages_total": 0, "aicore_percent": 91},
    ]
    assert report.fields == {
        "Chip Count": 2,
        "chips": [
            {"npu_id": 2944, "chip_id": 0, "DDR Usage Rate(%)": 2, "Vectorcore Usage Rate(%)": 0},
            {"npu_id": 2944, "chip_id": 1, "DDR Usage Rate(%)": 3, "Vectorcore Usage Rate(%)": 4},
        ],
    }


def test_a_block_whose_id_was_cut_off_is_no_other_chips():
    report = parse(DUO[: DUO.rindex("\tChip ID")])
    assert [(chip.chip_id, chip.memory_total_mb) for chip in report.chips] == [(0, 44278)]
    assert report.fields["cut"][0]["DDR Capacity(MB)"] == 43693
    assert "before the id" in report.warnings[0]


def test_the_id_above_a_block_is_that_of_the_block_and_the_mcus_heat_and_power_are_no_chips():
    report = parse(COMMON)
    assert report.command == "npu-smi info -t common"
    assert [said(chip) for chip in report.chips] == [
        {"npu_id": 2944, "chip_id": 0, "aicore_percent": 0, "temp_c": 45},
        {"npu_id": 2944, "chip_id": 1, "aicore_percent": 7, "temp_c": 47},
    ]
    assert report.fields["mcu"] == [{"npu_id": 2944, "Temperature(C)": 48, "NPU Real-time Power(W)": 42.8}]


def test_health_of_a_card_of_two_is_that_of_each_chip():
    report = parse(
        "NPU ID : 2944\nChip Count : 3\n\nHealth : OK\nChip ID : 0\n\nHealth : Warning\nChip ID : 1\n\n"
        "Health : Alarm\nChip Name : MCU\n"
    )
    assert report.command == "npu-smi info -t health"
    assert [(chip.chip_id, chip.health) for chip in report.chips] == [(0, "OK"), (1, "Warning")]
    assert report.fields == {"Chip Count": 3, "mcu": [{"npu_id": 2944, "Health": "Alarm"}]}


def test_sensors_of_the_microcontroller_whose_name_comes_last_are_no_chips():
    report = parse(
        "\tNPU ID                         : 0\n\tChip Count                     : 1\n\n"
        "\tNPU Temperature (C)            : 39\n\tChip ID                        : 0\n\n"
        "\tLM75A_TE (C)                   : 36\n\tNA       (C)                   : NA\n"
        "\tChip Name                      : MCU\n"
    )
    assert report.command == "npu-smi info -t temp" and report.warnings == []
    assert [said(chip) for chip in report.chips] == [{"npu_id": 0, "chip_id": 0, "temp_c": 39}]
    assert report.fields == {"Chip Count": 1, "mcu": [{"npu_id": 0, "LM75A_TE (C)": 36, "NA       (C)": None}]}
    alone = parse("\tT_LM75A  (C)                   : 29\n\tChip Name                      : MCU\n")
    assert (alone.command, alone.chips) == ("npu-smi info -t temp", [])
    assert alone.fields == {"mcu": [{"npu_id": None, "T_LM75A  (C)": 29}]}


def test_a_chip_that_nobody_uses_has_no_process_and_no_warning():
    report = parse(
        "\tNPU ID                         : 2\n\tChip Count                     : 2\n\n"
        "\tNo process in device.\n\tChip ID                        : 0\n\n"
        "\tProcess id:17  Process name:VLLMWorker_PP     Process memory(MB):56684\n"
        "\tChip ID                        : 1\n"
    )
    assert report.processes == [Process(2, 1, 17, "VLLMWorker_PP", 56684)]
    assert [(chip.npu_id, chip.chip_id) for chip in report.chips] == [(2, 0), (2, 1)] and report.warnings == []
    one = parse("\tNo process in device.\n", "npu-smi info -t proc-mem -i 2 -c 0")
    assert (one.layout, one.processes, one.warnings) == ("fields", [], [])


def test_fault_codes_are_a_list_however_many_there_are():
    one = parse("\tHealth Status                  : Warning\n\tError Code                     : 80E01801\n"
                "\tError Information              : node type=HBM, event state=multi bit ECC\n")  # fmt: skip
    assert one.chips[0].health == "Warning"
    assert one.fields == {
        "Error Code": ["80E01801"],
        "Error Information": ["node type=HBM, event state=multi bit ECC"],
    }
    none = parse("\tHealth                         : OK\n\tError Code                     : NA\n")
    assert none.fields == {"Error Code": None}


@pytest.mark.parametrize(
    ("text", "command", "chip", "fields"),
    [
        (
            "NPU ID : 8\nChip Count : 1\n\nMemory Capacity(MB) : 8192\nMemory Usage Rate(%) : 3\n"
            "Hugepages Total(page) : 15\n"
            "Hugepages Usage Rate(%) : 100\nAicore Usage Rate(%) : 1\nAicpu Usage Rate(%) : 0\n"
            "Ctrlcpu Usage Rate(%) : 4\n"
            "Memory Bandwidth Usage Rate(%) : 0\nChip ID : 0\n",
            "npu-smi info -t usages",
            {"npu_id": 8, "chip_id": 0, "memory_total_mb": 8192, "hugepages_total": 15, "aicore_percent": 1},
            {
                "Chip Count": 1, "Memory Usage Rate(%)": 3, "Hugepages Usage Rate(%)": 100, "Aicpu Usage Rate(%)": 0,
                "Ctrlcpu Usage Rate(%)": 4, "Memory Bandwidth Usage Rate(%)": 0,
            },
        ),
        (
            "NPU ID : 8\nChip Count : 1\n\nTotal Capacity(MB) : 24576\nCapacity(MB) : 23054\n"
            "Clock Speed(MHz) : 1600\nChip ID : 0\n",
            "npu-smi info -t memory",
            {"npu_id": 8, "chip_id": 0, "memory_total_mb": 23054},
            {"Chip Count": 1, "Total Capacity(MB)": 24576, "Clock Speed(MHz)": 1600},
        ),
        (
            "NPU ID : 0\nTotal DDR Capacity(MB) : 49152\nDDR Capacity(MB) : 44278\n"
            "DDR Clock Speed(MHz) : 451\nChip ID : 0\n",
            "npu-smi info -t memory",
            {"npu_id": 0, "chip_id": 0, "memory_total_mb": 44278},
            {"Total DDR Capacity(MB)": 49152, "DDR Clock Speed(MHz)": 451},
        ),
        ("NPU Temperature (C)            : 53\n", "npu-smi info -t temp", {"temp_c": 53}, {}),
        ("NPU Real-time Power(W)         : 77.1\n", "npu-smi info -t power", {"power_w": 77.1}, {}),
        ("Rated Power Dissipation(W)     : 12.8\n", "npu-smi info -t power", {}, {"Rated Power Dissipation(W)": 12.8}),
        (
            "NPU ID : 2944\nChip Count : 2\nPower Dissipation(W) : 42.9\n",
            "npu-smi info -t power",
            {"npu_id": 2944},
            {"Chip Count": 2, "Power Dissipation(W)": 42.9},
        ),
        ("Voltage(V)                     : NA\n", "npu-smi info -t volt", {}, {"Voltage(V)": None}),
        (
            "NPU ID : 5\nSingle-bit Error Count : 3\nDouble-bit Error Count : 0\nChip ID : 2\n",
            "npu-smi info -t ecc",
            {"npu_id": 5, "chip_id": 2},
            {"Single-bit Error Count": 3, "Double-bit Error Count": 0},
        ),
        (
            "Soc Max Temperature (C)        : 67\nSFP Temperature (C)            : NA\nHBM Temperature (C) : 63\n",
            "npu-smi info -t sensors",
            {},
            {"Soc Max Temperature (C)": 67, "SFP Temperature (C)": None, "HBM Temperature (C)": 63},
        ),
        (
            "Chip Physical ID              :3\nChip Logic ID                 :2\nNPU ID                        :1\n"
            "Chip ID                       :1\n",
            "npu-smi info -t phyid-remap",
            {"phy_id": 3, "logic_id": 2, "npu_id": 1, "chip_id": 1},
            {},
        ),
        (
            "System Time(local)             : Mon Feb  9 21:45:51 2026\n",
            "npu-smi info -t sys-time",
            {},
            {"System Time(local)": "Mon Feb  9 21:45:51 2026"},
        ),
        (
            "NPU ID : 0\nFlash Count : 2\n\nFlash ID : 1730504\nCapacity(MB) : 64\n\nFlash ID : 1730505\n"
            "Capacity(MB) : 32\nChip ID : 0\n",
            "npu-smi info -t flash",
            {"npu_id": 0, "chip_id": 0},
            {"Flash Count": 2, "Flash ID": ["1730504", "1730505"], "Capacity(MB)": [64, 32]},
        ),
        (
            "NPU ID : 6\nNPU Name : Ascend910_9391\nChip ID : 1\nChip Name : Ascend910\nChip Version : V1\n"
            "Board ID : 0x02\n"
            "PCIe Bus Info : 0000:87:00.0\nFirmware Version : 7.7.0.1.231\n",
            "npu-smi info -t board",
            {"npu_id": 6, "chip_id": 1, "name": "Ascend910", "bus_id": "0000:87:00.0"},
            {
                "NPU Name": "Ascend910_9391", "Chip Version": "V1", "Board ID": "0x02",
                "Firmware Version": "7.7.0.1.231",
            },
        ),
    ],
)  # fmt: skip
def test_an_answer_fills_the_fields_of_its_chip_and_keeps_the_rest_under_its_labels(text, command, chip, fields):
    report = parse(text)
    assert (report.command, report.layout, report.warnings) == (command, "fields", [])
    assert [said(one) for one in report.chips] == ([chip] if chip else [])
    assert report.fields == fields


def test_a_board_says_which_driver_runs():
    report = parse("NPU ID : 0\nSoftware Version : 23.0.5\nFirmware Version : 7.1.0.7.220\nPCI Device ID : 0xD801\n")
    assert report.driver_version == "23.0.5"
    assert report.fields["Firmware Version"] == "7.1.0.7.220" and report.fields["PCI Device ID"] == "0xD801"


def test_the_board_of_a_microcontroller_is_no_chips():
    report = parse("NPU ID : 0\nChip ID : 1\nChip Name : mcu\nBoard ID : NA\nFirmware Version : 23.3.13\n")
    assert report.chips == []
    assert report.fields == {"mcu": [{"npu_id": 0, "chip_id": 1, "Board ID": None, "Firmware Version": "23.3.13"}]}


def test_processes_have_the_ids_of_the_block_that_they_stand_in():
    report = parse(
        "\tNPU ID                         : 4\n\tChip Count                     : 1\n\n"
        "\tProcess id:17  Process name:python3 -m x        Process memory(MB):5118\n"
        "\tProcess id:18  Process name:VLLMEngineCor     Process memory(MB):20\n"
        "\tChip ID                        : 0\n"
    )
    assert report.command == "npu-smi info -t proc-mem"
    assert report.processes == [Process(4, 0, 17, "python3 -m x", 5118), Process(4, 0, 18, "VLLMEngineCor", 20)]


def test_a_list_of_cards_says_how_many_of_them_are_not_there():
    report = parse("\tCard Count                     : 3\n\n\tNPU ID                         : 2048\n"
                   "\tProduct Name                   : Atlas 300I\n\tSerial Number                  : 0033\n"
                   "\tChip Count                     : 4\n\n\tNPU ID                         : 2052\n")  # fmt: skip
    assert (report.command, report.layout) == ("npu-smi info -l", "list")
    assert [chip.npu_id for chip in report.chips] == [2048, 2052]
    assert report.fields == {
        "Card Count": 3,
        "npus": [
            {"NPU ID": 2048, "Product Name": "Atlas 300I", "Serial Number": "0033", "Chip Count": 4},
            {"NPU ID": 2052},
        ],
    }
    assert report.warnings == ["the list is of 3 NPUs, 2 of them are here"]


def test_a_value_that_is_no_number_stays_under_its_label():
    report = parse("NPU ID : 0\nTemperature (C) : hot\n")
    assert report.chips[0].temp_c is None and report.fields == {"Temperature (C)": "hot"}
    assert report.warnings == ["value not understood: Temperature (C) : hot"]


def test_what_was_set_or_upgraded_is_told_with_its_messages():
    report = parse("        Status                         : OK\n        Message                        : start\n"
                   "        Message                        : need active mcu\n")  # fmt: skip
    assert (report.layout, report.command) == ("fields", "npu-smi upgrade")
    assert report.fields == {"Status": "OK", "Message": ["start", "need active mcu"]}


@pytest.mark.parametrize(
    ("text", "chips"),
    [
        ("NPU ID : 0\nChip Count : 1\n\nDDR Capacity(MB) : 13553\nHBM Capacity(MB) : 311", [(0, 13553, None)]),
        ("DDR Capacity(MB) : 0\nDDR Clock Speed(MHz) : 0\nHBM Capacity(MB) : 655", [(None, 0, None)]),
    ],
)
def test_of_a_line_without_an_end_that_can_not_be_the_last_the_value_is_not_believed(text, chips):
    report = parse(text)
    assert [(chip.npu_id, chip.memory_total_mb, chip.hbm_total_mb) for chip in report.chips] == chips
    assert report.warnings[0] == f"the output ends in the middle of a value: {text.splitlines()[-1]}"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NPU Real-time Power(W) : 29", None),
        ("NPU Real-time Power(W) : 296.5", 296.5),
        ("NPU Real-time Power(W) : NA", None),
        ("NPU ID : 0\nChip Count : 1\n\nNPU Real-time Power(W) : 103.5", None),
        ("NPU ID : 0\nChip Count : 1\n\nNPU Real-time Power(W) : 103.5\nChip ID : 0", 103.5),
    ],
)
def test_power_at_the_end_of_a_cut_answer_is_only_what_is_whole(text, value):
    chips = parse(text).chips
    assert [chip.power_w for chip in chips if chip.power_w is not None] == ([] if value is None else [value])


def test_heat_before_the_power_that_is_to_come_is_not_believed():
    common = "Chip ID : 0\nAicore Count : 20\nTemperature(C) : 4"
    assert parse(common).chips[0].temp_c is None
    assert parse(f"{common}6\nNPU Real-time Power(W) : 91.9\n").chips[0].temp_c == 46


def test_half_a_word_is_no_health_and_half_a_line_no_process():
    assert [said(chip) for chip in parse("NPU ID : 0\nHealth : Al").chips] == [{"npu_id": 0}]
    assert parse("NPU ID : 0\nHealth : Alarm").chips[0].health == "Alarm"
    cut = "NPU ID : 0\nChip Count : 1\n\nProcess id:17  Process name:python3  Process memory(MB):554"
    assert parse(cut).processes == []
    assert parse("NPU ID : 0\nProcess id:17  Process name:pyt").processes == []


USAGES = "".join(
    f"\tHBM Capacity(MB)               : 65536\n\tHBM Usage Rate(%)              : {rate}\n"
    f"\tAicore Usage Rate(%)           : {rate}\n\tAicpu Usage Rate(%)            : 0\n"
    for rate in (10, 20)
)


def test_answers_without_ids_one_after_the_other_are_not_one_chips():
    report = parse(f"[root@h ~]# for c in 0 1; do npu-smi info -t usages -i 6 -c $c; done\n{USAGES}")
    assert [(chip.npu_id, chip.chip_id, chip.aicore_percent) for chip in report.chips] == [(6, None, 10), (6, None, 20)]
    assert [block["HBM Usage Rate(%)"] for block in report.fields["chips"]] == [10, 20]


def test_answers_of_one_chip_one_after_the_other_are_its_readings():
    report = parse(USAGES, "npu-smi info -t usages -i 6 -c 1")
    assert [(chip.npu_id, chip.chip_id, chip.aicore_percent) for chip in report.chips] == [(6, 1, 20)]
    assert [sample.aicore_percent for sample in report.samples] == [10, 20]
