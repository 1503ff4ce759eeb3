"""What versions say of each other, the table, and the operator's file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hardware.inventory.facts import Facts
from hardware.inventory.facts.reading import _package
from hardware.inventory.preflight import Part
from hardware.inventory.preflight.compatibility import TableError, judge, known, load, read_table
from hardware.inventory.preflight.parts import installed
from tests.conventions.test_project import ROOT
from tests.shared import FOLDER, needs_shared

OTHER = FOLDER / "ascend/other"


def there(driver: str = "", firmware: str = "", cann: str = "") -> dict[str, Part]:
    return installed(Facts(driver=_package(driver, "fw"), firmware=_package(firmware, "drv"), cann=_package(cann, "")))


@needs_shared
def test_a_driver_and_a_firmware_of_one_set_go_together_by_their_own_lists():
    parts = there(
        (OTHER / "driver-version.info--23.0.7.txt").read_text(),
        (OTHER / "firmware-version.info--7.1.0.11.220.txt").read_text(),
    )
    verdict = judge(parts["driver"], parts["firmware"])
    assert verdict.fits and not verdict.doubt and verdict.values["ranges"] == "7.0.0 – 7.1.99"


@needs_shared
@pytest.mark.parametrize(
    ("toolkit", "fits"),
    [
        # The driver names generation 13, and the CANNs of 20 and 22 name generation 15 of the driver.
        ("7.0.T10-aarch64", True),
        ("8.0.0-aarch64", True),
        ("8.2.RC1-aarch64", True),
    ],
)
def test_driver_and_cann_know_each_other_by_generation(toolkit, fits):
    parts = there(
        (OTHER / "driver-version.info--23.0.7.txt").read_text(),
        cann=(OTHER / f"ascend_toolkit_install.info--{toolkit}.txt").read_text(),
    )
    assert judge(parts["driver"], parts["cann"]).fits is fits


DRIVER = "Version={}\nInnerversion=V100R001{}B1\ncompatible_version={}\ncompatible_version_fw=[7.0.0,7.5.99]"
CANN = "version=8.0.0\ninnerversion=V100R001{}B1\ncompatible_version={}"


@pytest.mark.parametrize(
    ("driver", "cann", "fits"),
    [
        # Neither list names the other: blocked. The same generation goes without saying.
        (("C13", "[V100R001C30]"), ("C20", "[V100R001C15],[V100R001C18]"), False),
        (("C22", "[V100R001C19]"), ("C22", "[V100R001C15]"), True),
        (("C17", "[V100R001C10]"), ("C20", "[V100R001C15,V100R001C19]"), True),
        # Only one has a list, and an older one can't name a newer: the table is asked, and does not know.
        (("C23", ""), ("C13", "[V100R001C10]"), None),
    ],
)
def test_generations_that_nobody_names_are_wrong_only_when_both_had_the_say(driver, cann, fits):
    parts = there(DRIVER.format("29.9.9", *driver), cann=CANN.format(*cann))
    assert judge(parts["driver"], parts["cann"]).fits is fits


def test_the_later_of_two_that_disagree_has_the_word_and_a_pass_is_doubted():
    driver = "Version=25.0.0\npackage_version=25.0.0\ncompatible_version_fw=[7.0.0,7.7.99]"
    firmware = "Version=7.5.0.2.220\npackage_version=24.1.0\ncompatible_version_drv=[24.1,24.1.]"
    verdict = judge(*there(driver, firmware).values())
    assert verdict.fits and verdict.doubt and verdict.values["other_ranges"] == "24.1 – 24.1."
    newer = "Version=7.8.0.6.201\npackage_version=25.5.1\ncompatible_version_drv=[25.2,25.2.],[25.5,25.5.]"
    refused = judge(*there(driver.replace("7.7.99", "8.9.9"), newer).values())
    assert refused.fits is False and "25.2" in refused.values["ranges"]


@pytest.mark.parametrize(
    ("first", "second", "fits"),
    [
        (Part("driver", "24.1.0"), Part("firmware", "7.5.0.2.220"), True),
        (Part("mindspore", "2.7.1"), Part("cann", "8.3.RC1"), True),
        (Part("mindspore", "2.7.1"), Part("cann", "8.2.RC1"), False),
        (Part("mindspore", "1.8.0"), Part("cann", "5.1.RC2"), None),
        (Part("driver", "25.3.rc1.2"), Part("cann", "8.5.0"), True),
        (Part("driver", "24.1.0"), Part("cann", "9.0.0"), None),
        (Part("vllm-ascend", "0.11.0"), Part("chip", "910"), False),
        (Part("vllm-ascend", "0.11.0"), Part("chip", "A3"), True),
        (Part("mindie", "1.0.0"), Part("chip", "910"), None),
    ],
)
def test_what_no_list_says_the_table_says_and_what_it_does_not_is_unknown(first, second, fits):
    assert judge(first, second, known()).fits is fits


def test_every_row_of_the_consoles_own_table_has_its_source():
    assert len(known().rows) > 20 and all(row.source for row in known())


ROW = '[[row]]\ndriver = "24.1.0"\ncann = "9.0.0"\nsource = "lab"\n'


def test_an_operators_row_adds_and_corrects_and_may_replace_them_all(tmp_path: Path):
    file = tmp_path / "ours.toml"
    correction = '[[row]]\nmindspore = "2.7.1"\ncann = "8.3.RC1"\nfits = false\nsource = "it crashed"\n'
    file.write_text(ROW + correction)
    table = load(file)
    assert judge(Part("driver", "24.1.0"), Part("cann", "9.0.0"), table).values["source"] == "lab"
    assert judge(Part("mindspore", "2.7.1"), Part("cann", "8.3.RC1"), table).fits is False
    assert judge(Part("mindspore", "2.7.0"), Part("cann", "8.2.RC1"), table).fits
    file.write_text(f"replace = true\n{ROW}")
    assert judge(Part("mindspore", "2.7.0"), Part("cann", "8.2.RC1"), load(file)).fits is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f'{ROW}[[row]]\ndriver = 24\ncann = "8"\nsource = "x"', "ours, row 2, driver: 24 is no version"),
        ('[[row]]\ndriver = "24.1.0"\nsource = "x"', "ours, row 1, row: it names 1 of the two"),
        ('[[row]]\ndriver = "24.1.0"\ncann = "8.0.0"', "ours, row 1, source: say where"),
        ('[[row]]\ndriver = "24.1.0"\nkann = "8.0.0"\nsource = "x"', "ours, row 1, kann: there is no such field"),
        (
            '[[row]]\ndriver = "1 .. 2 .. 3"\ncann = "8"\nsource = "x"',
            "ours, row 1, driver: '1 .. 2 .. 3' is no version",
        ),
        ('[[row]]\nmindie = "1.0"\nchip = "910C"\nsource = "x"', "ours, row 1, chip: '910C' is no chip"),
        ('[[row]]\ndriver = "1"\ncann = []\nsource = "x"', "ours, row 1, cann: the list is empty"),
        ('[[row]]\ndriver = "1"\ncann = "2"\nfits = "no"\nsource = "x"', "ours, row 1, fits: 'no' is neither"),
        ('[[row]]\ndriver = "1"\ncann = "2"\nonly = ["driver"]\nsource = "x"', "ours, row 1, only: name two parts"),
        ("[row]\ndriver = '1'", "with two brackets"),
        ("rows = 1", "ours: 'rows' is neither"),
        ("[[row]", "ours is no TOML"),
    ],
)
def test_a_malformed_file_is_refused_by_a_line_that_names_row_and_field(text, said):
    with pytest.raises(TableError) as wrong:
        read_table(text, "ours")
    assert said in str(wrong.value) and "\n" not in str(wrong.value)


def test_a_malformed_file_stops_the_start(tmp_path: Path):
    file = tmp_path / "ours.toml"
    file.write_text('[[row]]\ndriver = "24.1.0"\ncann = 8\nsource = "x"')
    env = {**os.environ, "CONSOLE_COMPATIBILITY": str(file), "CONSOLE_VAR": str(tmp_path / "var")}
    done = subprocess.run(
        [sys.executable, "manage.py", "check"], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert (
        done.stderr.strip()
        == f"console: CONSOLE_COMPATIBILITY: {file}, row 1, cann: 8 is no version; write it in quotes."
    )
