"""From a paste to its outputs: prompt lines, frames of ``watch``, noise, and what is left for each reader."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from hardware.npu import answers, fields, lists
from hardware.npu.errors import NOISE, read_error
from hardware.npu.report import Chip, Report
from hardware.npu.table import is_table, read_table
from hardware.npu.text import LONGEST
from hardware.npu.values import word

_COMMAND = re.compile(
    r"^(?:.*[#$>%❯➜]\s*|\s*(?:\+\s+)?)(?:(?:sudo|time|timeout|stdbuf|nice|env|watch|command:?|cmd:?|[A-Z_]+=\S*)\b[^#$|]*?\s)?"
    r"(?:[\w./-]*/)?(npu-smi(?:\s+(?:info|set|clear|upgrade|-v|--version|-h|--help)\b(?!\.)[^|;&<>]*)?)"
    r"\s*(?:[|;&<>].*)?$",
    re.I,
)
_PROMPT = re.compile(
    r"^(?:\([\w.-]+\)\s*)?(?:\[[\w.-]+@[^\]]*\]\s*[#$]|[\w.-]+@[\w.-]+:[^#$]{0,80}[#$](?=\s|$))\s*(.*)$"
)
_EVERY = re.compile(r"^(?:Every|每|每隔)\s*[\d.,]+\s*(?:s|秒)\s*:?\s*(\S.*?)(?:\s{2,}.*)?$", re.I)
_VERSION = re.compile(r"^npu-smi version\s*:\s*(\S+)", re.I)
_ELISION = re.compile(
    r"^\s*(?:\.{2,}|……?|\[?\.\.\..*\]?|-+ ?(?:snip|more) ?-+|--More--.*|\W*(?:(?:中间)?省略|omitted|truncated)\W*)\s*$",
    re.I,
)
_FENCE = re.compile(r"^(?:```|~~~)\w*\s*$")
# What mail, a commented-out paste, a log or a shell on many machines puts in front of a line.
_FRONT = re.compile(
    r"^(?:>\s?|#\s+(?=[|+])|\[?\d{4}-\d\d-\d\d[T ][\d:.,]+(?:Z|[+-]\d\d:?\d\d)?\]?\s+(?=[|+])|[\w.-]{1,64}:\s(?=[|+])"
    r"|\d{1,6}[\t:]\s*(?=[|+])|[^|+]{1,80}[:\]]\s*(?=\|\s|\+[-=]))+"
)
# A row of a mapping, of watch or of a topology; not a line of its legend.
_ROW = re.compile(r"\d|(?:NPU|Phy-?ID)\s?\d", re.I)
_LAST_CELL = re.compile(r"\S+(?: \S+)*$")
_KEYSTROKE = re.compile(r"^\^[A-Z]$")
_WRAPPED = re.compile(r"^[-=+|]+$")
# What is read out of the output of another command: only what can be nothing else.
_SURE = frozenset(("ddr", "hbm", "a3", "950", "processes", "mapping", "topology", "watch", "list"))
_IDS = re.compile(r"\s-(i|c|p)\s+(\d{1,9})\b")
_MOST_WARNINGS = 40
_LONGEST_PROMPT = 400


@dataclass
class Part:
    """One output of a paste and the command that was typed for it, where the paste shows one.

    ``ours``: ``False`` for the output of another tool. ``open``: the last line has no end.
    """

    command: str | None
    lines: list[str] = field(default_factory=list)
    ours: bool = True
    open: bool = False


def split(text: str, command: str | None) -> list[Part]:
    """The outputs in a paste, in order."""
    parts = [Part(command)]
    for line in text.splitlines():
        start = line[:LONGEST].lstrip()
        if not start:
            continue
        lines = parts[-1].lines
        if start.rstrip() == "|" and lines and lines[-1][:1] == "|" and lines[-1][-1] != "|":
            lines[-1] += line[:LONGEST]
            continue
        if start[0] not in "|+":
            begun = _begins(start)
            if begun is not None:
                if lines:
                    parts.append(begun)
                else:
                    parts[-1] = begun
                continue
            if start[0] == ">" or "|" in start or "+-" in start or "+=" in start:
                start = _FRONT.sub("", start)
            if lines and lines[-1][:1] == "|" and start[-1:] == "|" and lines[-1][-1] != "|":
                # A terminal that was too narrow broke the row in two.
                lines[-1] += line[:LONGEST]
                continue
            if not start or _FENCE.match(start) or _KEYSTROKE.match(start) or _WRAPPED.match(start):
                continue
        lines.append(start)
    parts[-1].open = not text[-1:].isspace()
    return parts


def _begins(line: str) -> Part | None:
    """The output that begins after this line, if it is a prompt's or a frame's."""
    if len(line) > _LONGEST_PROMPT:
        return None
    if "npu-smi" in line:
        typed = _EVERY.match(line) or _COMMAND.match(line)
        if typed and "npu-smi" in typed[1] and not _VERSION.match(line):
            return Part(" ".join(typed[1].split()))
    prompt = _PROMPT.match(line)
    if prompt is None:
        return None
    within = re.search(r"npu-smi[^|;&<>$'\"]*", prompt[1])
    command = re.sub(r"(?: -\w)+$", "", " ".join((within[0] if within else prompt[1]).split()))
    return Part(command or None, ours=not command or within is not None)


def read(part: Part) -> tuple[Report, list[Chip]]:
    """One output: what it says, and its chips in order (one that is there twice is there twice)."""
    report = Report(part.command if part.ours else None)
    # What was left out parts the rows around it as a border does.
    tables = [line if is_table(line) else "+" for line in part.lines if is_table(line) or _ELISION.match(line)]
    tables = tables if any(line != "+" for line in tables) else []
    chips: list[Chip] = read_table(tables, report) if tables else []
    if tables and report.layout != "unknown":
        report.command = report.command or "npu-smi info"
    lines = [line.rstrip() for line in part.lines if not is_table(line)]
    if lines:
        chips += _lines(lines, part.open, report)
    if not part.ours and report.layout not in _SURE:
        return Report(), []
    return report, chips


def _lines(lines: list[str], open_end: bool, report: Report) -> list[Chip]:
    error, besides = read_error(lines)
    failed = {error.text, *besides} if error else set()
    items: list[answers.Item] = []
    unread: list[str] = []
    rows: list[str] = []
    reader: lists.Mapping | lists.Topology | lists.Watch | None = None
    for place, line in enumerate(lines):
        if line in failed:
            continue
        if line.startswith("Usage:"):
            _help(lines[place:], report, bool(error) or bool(items))
            break
        if NOISE.search(line) or "[WARNING]" in line:
            report.warnings.append(line)
        elif version := _VERSION.match(line):
            report.tool_version = word(version[1])
            report.layout, report.command = "version", report.command or "npu-smi -v"
        elif _ELISION.match(line):
            report.warnings.append(f"left out by whoever pasted this: {line.strip()}")
        elif head := lists.heading(line):
            reader = _reader(head, line, report)
        elif reader and reader.row(_without_end(line, rows, report) if open_end and line is lines[-1] else line):
            rows.append(line)
        else:
            found = answers.item(line)
            if found is None or fields.is_part_of_process(line):
                unread.append(line)
            else:
                items.append(found)
    chips, report.chips = report.chips, []
    if items:
        chips += _items(items, unread, open_end and items[-1].text is lines[-1], report)
    _leftover(unread, report)
    if error:
        report.error = error
        report.warnings += besides
        if report.layout == "unknown":
            report.layout = "error"
    return chips


def _reader(head: str, line: str, report: Report) -> lists.Mapping | lists.Topology | lists.Watch:
    if report.layout == "unknown":
        report.layout = head
    words = {"mapping": "npu-smi info -m", "topology": "npu-smi info -t topo", "watch": "npu-smi info watch"}
    report.command = report.command or words[head]
    if head == "mapping":
        return lists.Mapping(line, report)
    return lists.Topology(line, report) if head == "topology" else lists.Watch(line, report)


def _without_end(line: str, rows: list[str], report: Report) -> str:
    """The row at which a paste ends in the middle of a line. Where it is shorter than the one before it, what its last
    cell says may be half of it, unless another row says the same.
    """
    cell = _LAST_CELL.search(line)
    if not rows or len(line) >= len(rows[-1]) or not _ROW.match(line) or cell is None:
        return line
    if any(row.endswith(f" {cell[0]}") or row.endswith(f"\t{cell[0]}") for row in rows):
        return line
    report.warnings.append(f"the end of a row is missing: {line}")
    return f"{line[: cell.start()]}-"


def _items(items: list[answers.Item], unread: list[str], open_end: bool, report: Report) -> list[Chip]:
    """Labels and values, if any of them is one that npu-smi prints. ``open_end``: the last may be cut."""
    processes = any(fields.is_process(one.text) for one in items)
    known = "npu-smi info -t proc-mem" if processes else answers.kind(items)
    typed = report.command or ""
    if known is None and not typed.startswith(("npu-smi info -", "npu-smi set", "npu-smi upgrade", "npu-smi clear")):
        unread += [one.text for one in items]
        return []
    layout = report.layout
    command = typed if typed.startswith("npu-smi") and "-" in typed[8:] else known or typed
    if open_end:
        items = fields.without_cut(items, command, report)
    chips = fields.read_fields(items, command, report)
    report.command = report.command or known
    if layout != "unknown":
        report.layout = layout
    if command.startswith(("npu-smi set", "npu-smi upgrade", "npu-smi clear")) and unread:
        report.fields["lines"] = [*unread]
        unread.clear()
    return chips


def _help(lines: list[str], report: Report, besides: bool) -> None:
    """Usage comes when it is asked for and after every wrong parameter."""
    if besides or report.layout != "unknown":
        return
    text = "\n".join(lines)
    report.layout = "help"
    report.command = report.command or " ".join(re.split(r"[<\[]", lines[0].partition(":")[2])[0].split()) + " -h"
    types = re.search(r"type:\s*((?:[\w-]+\s*,\s*)*[\w-]+)", text)
    report.fields.update(usage=lines[0].partition(":")[2].strip(), types=[], text=text)
    if types:
        report.fields["types"] = re.split(r"\s*,\s*", types[1])


def _leftover(unread: list[str], report: Report) -> None:
    if report.layout == "unknown":
        return
    report.warnings += [f"line not understood: {line}" for line in unread[:_MOST_WARNINGS]]
    if len(unread) > _MOST_WARNINGS:
        report.warnings.append(f"{len(unread) - _MOST_WARNINGS} more lines not understood")


def asked(command: str | None) -> dict[str, int]:
    """The ids that a command asks for: ``{"i": 0, "c": 0}``."""
    return {letter: int(value) for letter, value in _IDS.findall(command or "")}
