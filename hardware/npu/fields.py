"""Outputs of ``label : value`` lines: ``info -t TYPE``, ``info -l``, and what ``set``, ``clear`` and ``upgrade`` say.

``Chip ID`` is the last line of a chip's block in some types and the first in others (``common``, ``board``); the
microcontroller of a card has a block of its own, named instead of numbered. What a chip has no field for stays under
the label that the tool prints.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from hardware.npu.answers import IDLE, Item
from hardware.npu.report import Chip, HalfChip, Process, Report
from hardware.npu.values import BUS, HEALTHS, NOTHING, Unreadable, number, whole, word

_PROCESS = re.compile(r"Process id\s*:\s*(\S+)\s+Process name\s*:\s*(.*?)\s+Process memory\s*\(MB\)\s*:\s*(\S+)", re.I)
_UNIT = re.compile(r"\((?:[A-Z%][\w%/]{0,7}|page)\)|Count$|Cnt$")
_CODES = re.compile(r"[0-9A-Fx]+(?:\s+[0-9A-Fx]+)*", re.I)

_KEYS = {
    "npuid": "npu_id", "chipid": "chip_id", "chiplogicid": "logic_id", "chipphy-id": "phy_id",
    "chipphyid": "phy_id", "chipphysicalid": "phy_id", "chipname": "name", "health": "health",
    "healthstatus": "health", "pciebusinfo": "bus_id", "npureal-timepower(w)": "power_w",
    "temperature(c)": "temp_c", "nputemperature(c)": "temp_c", "aicoreusagerate(%)": "aicore_percent",
    "memorycapacity(mb)": "memory_total_mb", "ddrcapacity(mb)": "memory_total_mb",
    "hbmcapacity(mb)": "hbm_total_mb", "hugepagestotal(page)": "hugepages_total",
    "ddrhugepagestotal(page)": "hugepages_total",
}  # fmt: skip
_WORDS = ("name", "health", "bus_id")
_MEASURES = ("power_w", "temp_c", "aicore_percent")
# Said of the card: before the first chip's block.
_OF_CARD = {
    "npuid", "chipcount", "slotid", "npuname", "productname", "serialnumber", "model", "manufacturer", "flashcount",
    "totalcount", "cardcount", "chipphy-id", "chipphysicalid", "chiplogicid", "softwareversion",
}  # fmt: skip
_OF_LIST = {"npuid", "chipcount", "productname", "serialnumber"}
# Always lists, however many there are: a chip may have several.
_SEVERAL = ("Error Code", "Error Information", "Fault Event Information")
_OTHERS = {"mcu": "mcu", "3559": "cpu", "cpu": "cpu"}
# After these every answer goes on.
_NEVER_LAST = {
    "memorycapacity(mb)", "ddrcapacity(mb)", "hbmcapacity(mb)", "hugepagestotal(page)", "ddrhugepagestotal(page)",
    "aicoreusagerate(%)", "healthstatus", "pciebusinfo", "npuid", "chipname",
}  # fmt: skip
_WATTS = re.compile(r"\d+\.\d")


@dataclass
class _Block:
    """What stands together. ``other``: not a chip's but its card's microcontroller's or control processor's, or cut.
    ``alone``: no other block may be of another chip of this name.
    """

    npu_id: int | None
    chip_id: int | None = None
    other: str = ""
    items: list[Item] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    alone: bool = True


def is_process(line: str) -> bool:
    return _PROCESS.match(line) is not None


def is_part_of_process(line: str) -> bool:
    return line.startswith("Process id") and not is_process(line)


def without_cut(items: list[Item], command: str, report: Report) -> list[Item]:
    """Items of an output whose last line has no end: of a line that can't be the last one the value may be cut."""
    last = items[-1]
    if _mark(last) or command.startswith(("npu-smi info -l", "npu-smi info -t phyid-remap")):
        return items
    if not _may_be_cut(last, items, "-t board" in command or "-t common" in command):
        return items
    report.warnings.append(f"the output ends in the middle of a value: {last.text}")
    return [*items[:-1], *([] if is_process(last.text) else [last._replace(value="")])]


def _may_be_cut(last: Item, items: list[Item], ids_first: bool) -> bool:
    if last.value in NOTHING:
        return False
    if last.key == "npureal-timepower(w)" and not _WATTS.fullmatch(last.value):
        return True
    if last.key in ("health", "healthstatus") and last.value.upper() not in HEALTHS:
        return True
    if last.key == "temperature(c)" and any(one.key == "aicorecount" for one in items):
        # Where the AI cores are counted the power is told, too.
        return True
    # Where the chip's id is to come last it is still to come.
    return last.key in _NEVER_LAST or (not ids_first and any(one.key == "chipcount" for one in items))


def read_fields(items: list[Item], command: str, report: Report) -> list[Chip]:
    """Fill ``report.fields``, ``processes`` and versions; returns the chips, one for each block that is a chip's."""
    if command.startswith("npu-smi info -l"):
        report.layout = "list"
        return _list(items, report)
    report.layout = "fields"
    if command.startswith("npu-smi info -t phyid-remap"):
        parts = _parts(items, ("chipphy-id", "chipphysicalid", "chipphyid"))
        blocks = [_Block(None, items=[*part]) for part in parts]
        card: list[Item] = []
    else:
        blocks, card = [], []
        parts = _parts(items, ("npuid",))
        for part in parts:
            found, above = _blocks(part, command, report)
            blocks += found
            if len(parts) == 1 or not above:
                card += above
            else:
                npu = {"NPU ID": found[0].npu_id if found else None}
                report.fields.setdefault("npus", []).append({**npu, **_rest(above)})
    flash = "-t flash" in command or any(one.key.startswith("flash") for one in items)
    chips: list[Chip] = []
    left: list[tuple[_Block, dict[str, Any]]] = []
    for block in blocks:
        if block.other:
            rest = _rest([one for one in block.items if one.key not in ("chipid", IDLE)])
            ids = {"npu_id": block.npu_id} | ({} if block.chip_id is None else {"chip_id": block.chip_id})
            report.fields.setdefault(block.other, []).append({**ids, **rest})
            continue
        chip, rest = _chip(block, flash, report)
        report.processes += block.processes
        if any(value is not None for value in vars(chip).values()):
            chips.append(chip)
        left.append((block, rest))
    _put(report.fields, _rest(card))
    if len(left) == 1:
        _put(report.fields, left[0][1])
    else:
        for block, rest in left:
            if rest:
                ids = {"npu_id": block.npu_id, "chip_id": block.chip_id}
                report.fields.setdefault("chips", []).append({**ids, **rest})
    version = next((one.value for one in items if one.key == "softwareversion"), None)
    report.driver_version = word(version) if version is not None else None
    return chips


def _parts(items: list[Item], starts: tuple[str, ...]) -> list[list[Item]]:
    """Items in parts, each of which begins with one of the labels."""
    parts: list[list[Item]] = [[]]
    for one in items:
        if one.key in starts and (any(before.key in starts for before in parts[-1]) or not _heads(parts[-1])):
            parts.append([])
        parts[-1].append(one)
    return [part for part in parts if part]


def _heads(part: list[Item]) -> bool:
    """Whether what stands before an ``NPU ID`` may belong to it."""
    return all(one.key in _OF_CARD for one in part)


def _list(items: list[Item], report: Report) -> list[Chip]:
    chips: list[Chip] = []
    npus: list[dict[str, Any]] = []
    for one in items:
        if one.key == "npuid":
            npus.append({})
        if one.key in _OF_LIST and npus:
            npus[-1][one.label] = _value(one, count=one.key in ("npuid", "chipcount"))
        else:
            _put(report.fields, _rest([one]))
    for npu in npus:
        if isinstance(npu.get("NPU ID"), int):
            chips.append(Chip(npu_id=npu["NPU ID"]))
    report.fields["npus"] = npus
    total = next((report.fields[name] for name in ("Total Count", "Card Count") if name in report.fields), None)
    if isinstance(total, int) and total != len(npus):
        report.warnings.append(f"the list is of {total} NPUs, {len(npus)} of them are here")
    return chips


def _blocks(part: list[Item], command: str, report: Report) -> tuple[list[_Block], list[Item]]:
    """One card's items by chip, and those that are the card's own."""
    board = "-t board" in command
    npu = _id(part[0]) if part and part[0].key == "npuid" else None
    if npu is None:
        npu = next((_id(one) for one in part if one.key == "npuid"), None)
    marks = [place for place, one in enumerate(part) if _mark(one)]
    if not marks:
        return _unnamed(part, npu, report), []
    trailing = not board and (
        any(one.key not in _OF_CARD for one in part[: marks[0]])
        # Of the first chip nothing is said, not even that there is nothing.
        or (len(marks) > 1 and marks[-1] == len(part) - 1 and "-t common" not in command)
    )
    blocks: list[_Block] = []
    card: list[Item] = []
    now = _Block(npu)
    for one in part:
        mark = _mark(one)
        if one.key == "npuid":
            continue
        if not mark:
            before = not blocks and (board or (one.key in _OF_CARD and not now.items))
            if before:
                card.append(one)
            else:
                _add(now, one, report)
        elif trailing and (now.items or now.processes):
            _name(now, one)
            blocks.append(now)
            now = _Block(npu)
        elif mark == "name" and blocks and not trailing and now is blocks[-1] and not _said(now):
            # ``Chip ID : 1`` and then ``Chip Name : mcu``: both name the same block.
            _name(now, one)
        else:
            now = _Block(npu)
            _name(now, one)
            if not trailing:
                blocks.append(now)
    if trailing and (now.items or now.processes):
        if not now.other:
            report.warnings.append("the output ends before the id of its last chip; what is said of it is under cut")
            now.other = "cut"
        blocks.append(now)
    return blocks, card


def _unnamed(part: list[Item], npu: int | None, report: Report) -> list[_Block]:
    """Items of a chip that no line names. What is said of it anew is said of another chip, or of it at another time."""
    blocks = [_Block(npu)]
    for one in part:
        if one.key in _KEYS and any(before.key == one.key for before in blocks[-1].items):
            blocks.append(_Block(npu))
        _add(blocks[-1], one, report)
    for block in blocks:
        block.alone = len(blocks) == 1
    return blocks


def _said(block: _Block) -> bool:
    return any(one.key not in ("chipid", "chiptype") for one in block.items)


def _mark(one: Item) -> str:
    if one.key == "chipid":
        return "id"
    return "name" if one.key == "chipname" and one.value.lower() in _OTHERS else ""


def _name(block: _Block, one: Item) -> None:
    if one.key == "chipid":
        block.chip_id = _id(one)
        block.items.append(one)
    else:
        block.other = _OTHERS[one.value.lower()]


def _id(one: Item) -> int | None:
    try:
        return whole(one.value)
    except Unreadable:
        return None


def _add(block: _Block, one: Item, report: Report) -> None:
    found = _PROCESS.match(one.text)
    if found is None:
        block.items.append(one)
        return
    try:
        pid, memory = whole(found[1]), whole(found[3])
    except Unreadable:
        report.warnings.append(f"process not understood: {one.text}")
        return
    block.processes.append(Process(block.npu_id, block.chip_id, pid, word(found[2].strip()), memory))


def _chip(block: _Block, flash: bool, report: Report) -> tuple[Chip, dict[str, Any]]:
    chip = (Chip if block.alone else HalfChip)(npu_id=block.npu_id, chip_id=block.chip_id)
    for process in block.processes:
        process.npu_id, process.chip_id = block.npu_id, block.chip_id
    rest: list[Item] = []
    bare_capacity = not flash and any(one.key == "clockspeed(mhz)" for one in block.items)
    for one in block.items:
        if one.key == IDLE:
            continue
        key = _KEYS.get(one.key)
        if one.key == "capacity(mb)" and bare_capacity:
            key = "memory_total_mb"
        if key is None:
            rest.append(one)
            continue
        try:
            value: Any = word(one.value) if key in _WORDS else (number if key in _MEASURES else whole)(one.value)
        except Unreadable:
            report.warnings.append(f"value not understood: {one.text}")
            rest.append(one)
            continue
        if key == "bus_id" and value is not None and not BUS.fullmatch(value):
            rest.append(one)
            continue
        setattr(chip, key, value)
        if one.key == "chipname" and value is None:
            rest.append(one)
    return chip, _rest(rest)


def _rest(items: list[Item]) -> dict[str, Any]:
    """Items by label; a label that comes again makes a list."""
    found: dict[str, Any] = {}
    last = ""
    for one in items:
        label = one.label or last
        if not label:
            continue
        last = label
        if label == "Error Code" and _CODES.fullmatch(one.value):
            _put(found, {label: one.value.split()})
        elif label in _SEVERAL:
            value = word(one.value)
            if value is not None:
                _put(found, {label: [value]})
            else:
                found.setdefault(label, None)
        else:
            _put(found, {label: _value(one)})
    return found


def _put(into: dict[str, Any], more: dict[str, Any]) -> None:
    for label, value in more.items():
        if label not in into or into[label] is None:
            into[label] = value
            continue
        there = into[label] if isinstance(into[label], list) else [into[label]]
        into[label] = [*there, *(value if isinstance(value, list) else [value])]


def _value(one: Item, count: bool = False) -> Any:
    """A number where the label has a unit or counts something; else the words as they are."""
    if count or _UNIT.search(one.label):
        try:
            return number(one.value)
        except Unreadable:
            return one.value
    return word(one.value)
