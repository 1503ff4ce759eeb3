"""The tables of ``npu-smi info``, of every generation: the header rows say which value stands where.

A chip takes two rows. Cells are told apart by their borders, values within a cell by the order of the header's words,
never by their distance from the left: people narrow headers and trim lines when they paste.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hardware.npu.header import (
    LOWER_950,
    PROCESS_WORDS,
    UPPER,
    UPPER_950,
    WORDS,
    kinds_of,
    layout,
    tells_chips_apart,
)
from hardware.npu.report import Chip, HalfChip, Process, Report
from hardware.npu.rows import IDS, PAIRS, SINGLES, UTIL, ChipRows, ProcessRows, Spec, chip_rows, process_rows
from hardware.npu.values import BUS, HEALTHS, Unreadable, number, whole, word

_VERSIONS = re.compile(r"npu-smi(?:\s+(?!Version)([^\s|]+))?(?:\s+Version\s*:\s*([^\s|]+)?)?", re.I)
_VALUE = re.compile(r"([^\s/]+)(?:\s*/\s*([^\s/]+))?")
_VALUES = re.compile(r"\d+\s*/\s*\d+|[0-9A-F]{2}:[0-9A-F]{2}\.[0-9A-F]", re.I)
_IDLE = re.compile(r"No running process", re.I)


class Row(NamedTuple):
    """``closed``: the last value is whole. Where the row has no border at its end, it may be cut."""

    text: str
    cells: list[str]
    closed: bool


@dataclass
class _Reading:
    """Where the reader stands. ``upper`` and ``lower`` are what the header says; ``first`` waits for its second row.

    ``strange``: there was a header, of a table that is not known.
    """

    report: Report
    chips: list[Chip] = field(default_factory=list)
    upper: Spec | None = None
    lower: Spec | None = None
    process: Spec | None = None
    first: Row | None = None
    assumed: bool = False
    strange: bool = False
    chip_rows: ChipRows | None = None
    process_rows: ProcessRows | None = None

    def warn(self, text: str) -> None:
        self.report.warnings.append(text)


def is_table(line: str) -> bool:
    """Whether a line without its indentation belongs to a table."""
    return line[:1] == "|" or line[:2] in ("+-", "+=")


def read_table(lines: list[str], report: Report) -> list[Chip]:
    """Fill ``report`` from the lines of tables, indentation taken off. A row that can't be read becomes a warning.

    Returns the chips of all tables in order and leaves it to the caller what they are where a chip is there twice.
    """
    at = _Reading(report)
    final = len(lines) - 1
    # A terminal that is too narrow cuts borders and rows; who trims blanks takes only what closes a row.
    narrow = any(line[0] == "+" and line.rstrip()[-1] != "+" for line in lines)
    place = 0
    while place <= final:
        line = lines[place]
        place += 1
        if line[0] == "+":
            if at.first is not None:
                _half(at)
        elif place <= final and _at_once(line, lines[place], at):
            place += at.process is None
        else:
            _one_row(_row(line, place > final, narrow, at), at)
    if at.first is not None:
        at.warn(f"the output ends in the middle of a chip: {at.first.text}")
    report.layout = _layout(at)
    return at.chips


def _at_once(line: str, after: str, at: _Reading) -> bool:
    """Read rows that are just as their header says: a process, or both rows of a chip."""
    if at.process is not None:
        process = at.process_rows.read(line) if at.process_rows else None
        if process is not None:
            at.report.processes.append(process)
        return process is not None
    if at.chip_rows is None or at.first is not None:
        return False
    found = at.chip_rows.read(line, after)
    if found is None:
        return False
    _keep(found[0], {} if found[1] is None else {UTIL: found[1]}, at)
    return True


def _one_row(row: Row, at: _Reading) -> None:
    start = row.cells[0][:1]
    if not row.text.strip("|+-=: "):
        # A border of another kind of table: |-----|-----|.
        return
    if start.isalpha():
        _words(row, at)
    elif at.process is not None:
        _process(row, at)
    elif start == "" and WORDS.search(row.text) and not _VALUES.search(row.text):
        _header(row, at)
    elif any(row.cells):
        _data(row, at)


def _row(line: str, final: bool, narrow: bool, at: _Reading) -> Row:
    text = line.rstrip()
    closed = len(text) > 1 and text[-1] == "|"
    cells = [cell.strip() for cell in (text[1:-1] if closed else text[1:]).split("|")]
    if final and len(cells) < len(at.lower or UPPER) and not cells[0][:1].isalpha():
        return Row(text, cells, False)
    # A blank after the last value shows that only the border was trimmed off.
    if not closed and text == line and cells[-1]:
        if final:
            return Row(text, cells, False)
        if narrow and not cells[0][:1].isalpha():
            at.warn(f"the end of a row is missing: {text}")
            value = max(map(cells[-1].rfind, " \t/")) + 1
            cells[-1] = f"{cells[-1][:value]}NA"
    return Row(text, cells, True)


def _layout(at: _Reading) -> str:
    known = layout(at.upper or (), at.lower or ()) if at.upper or at.chips else None
    if known is not None:
        return known
    if at.chips:
        return "hbm" if any(chip.hbm_total_mb is not None for chip in at.chips) else "ddr"
    return "processes" if at.process is not None or at.report.processes else "unknown"


def _words(row: Row, at: _Reading) -> None:
    """A row that begins with a word: the versions, a header, or that a chip has no process."""
    text = row.text
    if at.first is not None:
        _half(at)
    if _IDLE.search(text):
        at.process = at.process or ()
    elif row.cells[0][:7].lower() == "npu-smi":
        found = _VERSIONS.search(text)
        at.report.tool_version = found[1] if found else None
        at.report.driver_version = found[2] if found else None
        at.upper = at.lower = at.process = at.chip_rows = None
        at.strange = False
    elif "rocess" in text and (kinds := kinds_of(row.cells, PROCESS_WORDS)) and ("pid",) in kinds:
        at.process, at.process_rows = kinds, process_rows(kinds)
    else:
        _header(row, at)


def _header(row: Row, at: _Reading) -> None:
    kinds = kinds_of(row.cells, WORDS)
    flat = {kind for cell in kinds for kind in cell}
    if flat & {"health", "power", "temp", "pages"}:
        at.upper, at.lower, at.process, at.chip_rows = kinds, None, None, None
    elif flat & {"bus", "aicore", "util", "memory", "hbm"}:
        # A narrow terminal leaves NPU of NPU Util(%), and the ids are above.
        kinds = tuple(() if "npu" in cell else cell for cell in kinds)
        at.lower, at.process = kinds, None
        at.chip_rows = chip_rows(at.upper, kinds) if at.upper and tells_chips_apart(at.upper, kinds) else None
    else:
        if "npu" in flat or at.upper is None:
            # Another table begins: what is below has no chips.
            at.upper = at.lower = at.chip_rows = None
            at.strange = True
        at.warn(f"row not understood: {row.text}")


def _data(row: Row, at: _Reading) -> None:
    if at.first is None:
        if _is_lower(row) and not _is_upper(row):
            at.warn(f"row without the one before it: {row.text}")
        else:
            at.first = row
    elif row.closed and _is_upper(row) and not _is_lower(row):
        _half(at)
        at.first = row
    else:
        first, at.first = at.first, None
        _chip(first, row, at)


def _is_lower(row: Row) -> bool:
    """Ids and nothing else in front, then a bus id or none."""
    cells = row.cells[1:] if len(row.cells) > 3 and not row.cells[0] else row.cells
    return len(cells) > 1 and not cells[0].strip("0123456789 -") and bool(BUS.fullmatch(cells[1]) or cells[1] == "NA")


def _is_upper(row: Row) -> bool:
    place = 2 if len(row.cells) > 3 else 1
    if len(row.cells) <= place or not row.cells[0][:1].isdigit():
        return False
    health = row.cells[place]
    return health.isalpha() and health != "NA"


def _half(at: _Reading) -> None:
    """A chip whose second row is not there although the table goes on."""
    row, at.first = at.first, None
    assert row is not None
    at.warn(f"chip without its second row: {row.text}")
    _chip(row, None, at)


def _chip(first: Row, second: Row | None, at: _Reading) -> None:
    if second is not None and not second.closed:
        at.warn(f"the output ends in the middle of a chip: {second.text}")
        return
    upper, lower = at.upper, at.lower
    if upper is None or (lower is None and second is not None):
        place = 2 if len(first.cells) > 3 else 1
        known = _is_upper(first) and first.cells[place].upper() in HEALTHS
        if at.strange or not known or (second is not None and not _is_lower(second)):
            at.warn(f"row not understood: {first.text}")
            return
        upper, lower = _assume(first, second, at)
    chip, extra = Chip(), dict[str, Any]()
    if not _fill(chip, extra, first, upper, at) or chip.npu_id is None:
        at.warn(f"row not understood: {first.text}")
        return
    if second is not None and not _fill(chip, extra, second, lower or (), at):
        at.warn(f"row not understood: {second.text}")
    if chip.chip_id is None and layout(upper, lower or ()) != "950":
        chip = HalfChip(**vars(chip))
    _keep(chip, extra, at)


def _keep(chip: Chip, extra: dict[str, Any], at: _Reading) -> None:
    at.chips.append(chip)
    if extra:
        at.report.fields.setdefault("chips", []).append({"npu_id": chip.npu_id, "chip_id": chip.chip_id, **extra})


def _assume(first: Row, second: Row | None, at: _Reading) -> tuple[Spec, Spec]:
    """Without a header the shape of the rows says which table it is: no two of those that are known share one."""
    if not at.assumed:
        at.assumed = True
        at.warn("the table's header is missing; its columns are those of the known table of this shape")
    if len(first.cells) > 3:
        at.upper, at.lower = at.upper or UPPER_950, at.lower or LOWER_950
        return at.upper, at.lower
    ids = len(second.cells[0].split()) if second else 1
    pairs = second.cells[-1].count("/") if second else 0
    where = ("chip",) if ids < 2 else ("chip", "phy" if pairs > 1 else "logic")
    at.lower = at.lower or (where, ("bus",), ("aicore", "memory", "hbm")[: 1 + pairs])
    upper = UPPER if "/" in first.cells[-1] else (*UPPER[:2], ("power", "temp"))
    at.upper = at.upper or upper
    return at.upper, at.lower


def _fill(chip: Chip, extra: dict[str, Any], row: Row, spec: Spec, at: _Reading) -> bool:
    """Put a row's values into ``chip``; ``False`` if its cells are not those of the header."""
    cells = row.cells
    if len(cells) != len(spec):
        return False
    values = vars(chip)
    for cell, kinds in zip(cells, spec, strict=True):
        if not kinds:
            continue
        first = kinds[0]
        if first == "health":
            chip.health = word(cell)
            new = chip.health is not None and cell.upper() not in HEALTHS
            # A word that is new, or a row of another table: that one has not these measures.
            if new and not (cell.isalpha() and len(_VALUE.findall(cells[-1])) == len(spec[-1])):
                return False
        elif first == "bus":
            if BUS.fullmatch(cell):
                chip.bus_id = cell
            elif word(cell) is not None:
                at.warn(f"bus id {cell!r} not understood: {row.text}")
        elif first == "name":
            chip.name = word(cell)
        elif first in IDS:
            words = cell.split(None, len(kinds) - 1)
            if len(words) != len(kinds):
                # A cell with too few ids does not say which of them it lacks; the first is always the first.
                at.warn(f"not every id is there: {row.text}")
            for kind, text in zip(kinds, words, strict=False):
                if kind == "name":
                    chip.name = word(text.strip())
                    continue
                try:
                    values[IDS[kind]] = whole(text)
                except Unreadable:
                    at.warn(f"{IDS[kind]} {text!r} not understood: {row.text}")
        else:
            _measures(values, extra, cell, kinds, row, at)
    return True


def _measures(
    values: dict[str, Any], extra: dict[str, Any], cell: str, kinds: tuple[str, ...], row: Row, at: _Reading
) -> None:
    found = _VALUE.findall(cell.replace("N/A", "NA"))
    if len(found) != len(kinds):
        at.warn(f"{len(found)} values where the header has {len(kinds)}: {row.text}")
        kinds, found = _by_shape(kinds, found)
    for kind, (left, right) in zip(kinds, found, strict=True):
        try:
            if kind in PAIRS:
                if not right and whole(left) is not None:
                    raise Unreadable(left)
                used, total = PAIRS[kind]
                # One half that can't be read hides not the other.
                values[total] = _half_of_pair(right, kind, row, at)
                values[used] = whole(left)
            elif right:
                raise Unreadable(f"{left}/{right}")
            elif kind == "util":
                extra[UTIL] = number(left)
            else:
                values[SINGLES[kind]] = number(left)
        except Unreadable as wrong:
            at.warn(f"{kind} {str(wrong)!r} not understood: {row.text}")


def _half_of_pair(text: str, kind: str, row: Row, at: _Reading) -> int | None:
    try:
        return whole(text)
    except Unreadable:
        at.warn(f"{kind} {text!r} not understood: {row.text}")
        return None


def _by_shape(kinds: tuple[str, ...], found: list[tuple[str, str]]) -> tuple[tuple[str, ...], list[tuple[str, str]]]:
    """Of a cell with too many or too few values: those of a shape of which there are as many as there should be."""
    kept: list[tuple[str, tuple[str, str]]] = []
    for pairs in (False, True):
        wanted = [kind for kind in kinds if (kind in PAIRS) is pairs]
        there = [value for value in found if bool(value[1]) is pairs]
        if len(wanted) == len(there):
            kept += zip(wanted, there, strict=True)
    return tuple(kind for kind, _ in kept), [value for _, value in kept]


def _process(row: Row, at: _Reading) -> None:
    cells, spec = row.cells, at.process or (("npu", "chip"), ("pid",), ("name",), ("memory",))
    if not row.closed:
        at.warn(f"the output ends in the middle of a process: {row.text}")
        return
    names = next((place for place, kinds in enumerate(spec) if kinds == ("name",)), None)
    surplus = len(cells) - len(spec)
    if surplus > 0 and names is not None:
        # A process may have the border's sign in its name.
        cells = [*cells[:names], "|".join(cells[names : names + surplus + 1]), *cells[names + surplus + 1 :]]
    values: dict[str, int | None] = {}
    try:
        if len(cells) != len(spec):
            raise Unreadable(row.text)
        for cell, kinds in zip(cells, spec, strict=True):
            if kinds and kinds != ("name",):
                values |= zip(kinds, map(whole, cell.split()), strict=False)
        if values.get("npu") is None or values.get("pid") is None:
            raise Unreadable(row.text)
    except Unreadable:
        at.warn(f"process not understood: {row.text}")
        return
    name = None if names is None else word(cells[names])
    process = Process(values["npu"], values.get("chip"), values["pid"], name, values.get("memory"))
    at.report.processes.append(process)
    if values.get("container") is not None:
        at.report.fields.setdefault("Process id in container", {})[str(process.pid)] = values["container"]
