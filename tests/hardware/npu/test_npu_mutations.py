"""Whatever the bytes are, nothing is raised, and what comes out is what the schema says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import hardware.npu
from hardware.npu import Report, hccn, parse, pci, reading, text, versions
from tests.hardware.npu.texts import HBM, TABLES
from tests.shared import samples

SCHEMA = Draft202012Validator(json.loads((Path(hardware.npu.__file__).parent / "schema.json").read_text()))
TEXTS = [table.encode() for table in TABLES.values()]
for pattern in ("npu-smi/*", "other/hccn*", "other/ls*", "other/*info*"):
    TEXTS += [file.read_bytes() for file in samples(f"ascend/{pattern}")]
SCRAPS = (b"|", b"\n", b" / ", b":", b"\r", b"\xa3\xba", b"-", b"\x1b[", b"# npu-smi info\n")


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """A sample with bytes flipped, lines dropped, doubled or put in another's place, cut, or joined with another."""
    data = bytearray(draw(st.sampled_from(TEXTS)))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, max(len(data) - 1, 0)))
        match draw(st.sampled_from(("flip", "cut", "insert", "splice", "line"))):
            case "flip" if data:
                data[place] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del data[place : place + draw(st.integers(0, 400))]
            case "insert":
                data[place:place] = draw(st.binary(max_size=12) | st.sampled_from(SCRAPS))
            case "splice":
                other = draw(st.sampled_from(TEXTS))
                data[place:] = other[draw(st.integers(0, max(len(other) - 1, 0))) :]
            case "line":
                lines = bytes(data).splitlines(True) or [b""]
                lines.insert(draw(st.integers(0, len(lines))), lines.pop(draw(st.integers(0, len(lines) - 1))))
                data = bytearray(b"".join(lines))
    return bytes(data)


def strict(data: str | bytes) -> Report:
    """As ``parse`` does, without its net below."""
    return reading.read(text.decode(data) if isinstance(data, bytes) else data)


def check(said: Any) -> None:
    json.loads(json.dumps(said, ensure_ascii=False, allow_nan=False).encode())
    assert SCHEMA.is_valid(said), next(SCHEMA.iter_errors(said)).message
    assert (said["layout"] == "unknown") == ("raw" in said["fields"])


@given(spoiled())
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_a_spoiled_sample_raises_nothing(data):
    check(strict(data).to_json())
    for reader in (hccn.read_conf, hccn.read_hccn, pci.read_lspci, pci.read_nodes, versions.read_version_info):
        reader(data)
    versions.read_install_info(data)


@given(
    st.one_of(
        st.text(),
        st.binary(),
        st.text("|+-=/ 0123456789OKNA\n.:"),
        st.text(st.characters(categories=["Cs", "Nd", "Lo"])),
    )
)
@settings(deadline=None)
def test_no_text_raises(data):
    check(strict(data).to_json())


@given(st.sampled_from(sorted(TABLES)), st.data())
@settings(max_examples=150, deadline=None)
def test_a_flipped_byte_spoils_one_chip_at_most(layout, data):
    table = TABLES[layout]
    rows = [
        place for place, line in enumerate(table.splitlines()) if line.startswith("|") and "/" in line and place > 4
    ]
    lines = table.splitlines()
    row = data.draw(st.sampled_from(rows))
    place = data.draw(st.integers(0, len(lines[row]) - 1))
    lines[row] = lines[row][:place] + data.draw(st.sampled_from("x|9 ")) + lines[row][place + 1 :]
    before, after = parse(table).chips, parse("\n".join(lines)).chips
    assert sum(chip not in after for chip in before) <= 1


@given(spoiled())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_rows_that_are_read_at_once_come_to_the_same_as_rows_that_are_taken_apart(data):
    quick = strict(data).to_json()
    with mock.patch("hardware.npu.table._at_once", return_value=False):
        assert strict(data).to_json() == quick


def test_a_bug_of_the_reader_costs_one_text_and_says_so():
    with mock.patch("hardware.npu.reading.paste.split", side_effect=IndexError("x")):
        report = parse("| npu-smi |")
    assert (report.layout, report.fields) == ("unknown", {"raw": "| npu-smi |"})
    assert "bug" in report.warnings[0] and "IndexError" in report.warnings[0]


def test_a_process_table_whose_header_lost_a_column_is_flagged():
    report = strict(HBM.replace("| Process name             ", "").replace("| python3.9", "| a | python3.9"))
    assert len(report.chips) == 2 and len(report.processes) < 2 and report.warnings
