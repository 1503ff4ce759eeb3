"""Every shared sample of npu-smi, field by field, against values that were checked by hand (``golden.json``)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hardware.npu import parse
from tests.shared import samples

GOLDEN: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "golden.json").read_text())
FILES = samples("ascend/npu-smi/*.txt")
EMPTY: dict[str, Any] = {
    "command": None, "layout": None, "tool_version": None, "driver_version": None, "chips": [], "processes": [],
    "samples": [], "fields": {}, "warnings": [], "error": None,
}  # fmt: skip


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_shared_sample_says_what_it_says(file: Path):
    said: dict[str, Any] = {**parse(file.read_bytes()).to_json()}
    for name in ("chips", "samples"):
        said[name] = [{key: value for key, value in chip.items() if value is not None} for chip in said[name]]
    if said["error"]:
        assert said["error"].pop("likely_cause")
    said["fields"].pop("text", None)
    assert said == EMPTY | GOLDEN[file.name]


def test_no_shared_sample_is_forgotten():
    if FILES:
        assert {file.name for file in FILES} == set(GOLDEN)


@pytest.mark.parametrize("file", [f for f in FILES if f.name.startswith("info--")], ids=lambda file: file.name)
def test_wherever_a_table_is_cut_nothing_wrong_is_read(file: Path):
    text = file.read_text()
    whole = {(chip.npu_id, chip.chip_id): vars(chip) for chip in parse(text).chips}
    processes = [vars(process) for process in parse(text).processes]
    for end in range(0, len(text), 9):
        for rest in ("", "\n"):
            report = parse(text[:end] + rest)
            for chip in report.chips:
                known = {name: value for name, value in vars(chip).items() if value is not None}
                assert known.items() <= whole[chip.npu_id, chip.chip_id].items(), (end, known)
            assert all(vars(process) in processes for process in report.processes)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_shared_sample_whose_last_line_end_was_not_copied_says_the_same(file: Path):
    text = file.read_text()
    assert parse(text.rstrip("\n")).to_json() == parse(text).to_json()
    assert parse(text.strip()).to_json() == parse(text).to_json()
