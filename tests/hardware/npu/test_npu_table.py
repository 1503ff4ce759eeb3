from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.npu import parse
from tests.shared import samples

FIRST_GENERATION = """\
+-------------------------------------------------------------------------------------------+
| npu-smi 21.0.4                   Version: 21.0.4                                          |
+----------------------+---------------+----------------------------------------------------+
| NPU   Name           | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip                 | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
+======================+===============+====================================================+
| 0     910A           | OK            | 70.9        42                15   / 15            |
| 0                    | 0000:C1:00.0  | 0           839  / 15170      1    / 32768         |
+======================+===============+====================================================+
| 4     910A           | Alarm         | NA          36                15   / 15            |
| 0                    | 0000:81:00.0  | 97          1274 / 15171      30710/ 32768         |
+======================+===============+====================================================+
"""


def test_a_first_generation_table_is_read_cell_by_cell():
    report = parse(FIRST_GENERATION)
    assert (report.layout, report.tool_version, report.driver_version) == ("hbm", "21.0.4", "21.0.4")
    one, other = report.chips
    assert (one.npu_id, one.chip_id, one.name, one.health, one.bus_id) == (0, 0, "910A", "OK", "0000:C1:00.0")
    assert (one.power_w, one.temp_c, one.aicore_percent) == (70.9, 42, 0)
    assert (one.memory_used_mb, one.memory_total_mb, one.hbm_used_mb, one.hbm_total_mb) == (839, 15170, 1, 32768)
    assert (one.hugepages_used, one.hugepages_total) == (15, 15)
    assert (other.npu_id, other.health, other.power_w, other.hbm_used_mb) == (4, "Alarm", None, 30710)
    assert report.warnings == [] and report.error is None


def test_one_bad_row_hides_no_other():
    broken = FIRST_GENERATION.replace("| 0     910A           | OK            |", "| 0     910A           |")
    report = parse(broken)
    assert [chip.npu_id for chip in report.chips] == [4]
    assert report.warnings


def test_windows_line_ends_and_a_cut_paste_are_read_as_far_as_they_go():
    assert len(parse(FIRST_GENERATION.replace("\n", "\r\n")).chips) == 2
    cut = parse(FIRST_GENERATION[: FIRST_GENERATION.index("| 0                    | 0000:81")])
    assert len(cut.chips) == 1 and "middle" in cut.warnings[-1]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("DrvMngGetConsoleLogLevel failed. (ret=4)\ndcmi module initialize failed. ret is -8005\n", "-8005"),
        ("dcmi model initialized failed, because the device is used. ret is -8020\n", "-8020"),
        ("sh: 1: npu-smi: not found\n", "npu-smi-missing"),
        ("Invalid card id.\n", "invalid-card"),
    ],
)
def test_errors_on_stdout_become_a_code_with_a_likely_cause(text, code):
    error = parse(text).error
    assert error is not None and error.code == code and error.likely_cause


@pytest.mark.parametrize("file", samples("ascend/npu-smi/info--*.txt"), ids=lambda f: f.name)
def test_every_shared_table_gives_chips_with_a_name_and_health(file: Path):
    report = parse(file.read_bytes())
    assert report.layout != "unknown", report.warnings
    assert report.chips
    for chip in report.chips:
        assert chip.npu_id is not None and chip.name and chip.health


@pytest.mark.parametrize("file", samples("ascend/npu-smi/ERROR-80*.txt"), ids=lambda f: f.name)
def test_every_shared_initialisation_error_is_named(file: Path):
    error = parse(file.read_bytes()).error
    assert error is not None and error.code in file.name.replace("ERROR", "")


@given(st.one_of(st.text(), st.binary(), st.text("|+-=/ 0123456789OKNA\n.")))
def test_no_bytes_raise(data):
    json.dumps(parse(data).to_json())


def test_the_command_line_prints_one_json_object(tmp_path: Path):
    file = tmp_path / "paste.txt"
    file.write_text(FIRST_GENERATION)
    done = subprocess.run([sys.executable, "-m", "hardware.npu", str(file)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["chips"][1]["npu_id"] == 4
    missing = subprocess.run([sys.executable, "-m", "hardware.npu", "none"], capture_output=True, text=True)
    assert missing.returncode == 2 and missing.stderr.count("\n") == 1
