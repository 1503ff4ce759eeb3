"""The table of ``npu-smi info``, in every generation that FACTS lists: the header rows say which columns there are."""

from __future__ import annotations

import re

from hardware.npu.report import Chip, Process, Report

_VERSION = re.compile(r"npu-smi\s+(\S+).*?Version:\s*(\S+)")
_PAIR = re.compile(r"(\d+)\s*/\s*(\d+)")
_LAYOUTS = (("a3", "Phy-ID"), ("npu-id", "NPU ID"), ("ddr", "Device"), ("hbm", "HBM-Usage"))


def read_table(text: str, report: Report) -> None:
    """Fill ``report`` with what the table says. A row that can't be read becomes a warning; the others stay."""
    header = ""
    first: list[str] | None = None
    in_processes = False
    for line in text.splitlines():
        row = line.strip()
        if not row.startswith("|"):
            if "[WARNING]" in row:
                report.warnings.append(row)
            if first is not None and row.startswith("+"):
                report.warnings.append(f"chip cut after its first row: {' | '.join(first)}")
                first = None
            continue
        cells = [cell.strip() for cell in row.removeprefix("|").removesuffix("|").split("|")]
        if len(cells) == 4 and "NPU ID" in header and not in_processes:
            cells = [f"{cells[0]} {cells[1]}".strip(), *cells[2:]]
        version = _VERSION.search(row)
        if version:
            report.tool_version, report.driver_version = version.group(1), version.group(2)
        elif "Process id" in row:
            in_processes = True
        elif cells[0].startswith(("NPU", "Chip")):
            header = f"{header} {row}"
            in_processes = False
        elif row.strip("| ").startswith("No running processes"):
            continue
        elif in_processes:
            _process(cells, row, report)
        elif cells[0] == "" and "Bus-Id" in row:
            header = f"{header} {row}"
        elif len(cells) < 3 or not (cells[0][:1].isdigit() or (first is not None and cells[0] == "")):
            report.warnings.append(f"row not understood: {row}")
        elif first is None:
            first = cells
        else:
            _chip(first, cells, header, report)
            first = None
    if first is not None:
        report.warnings.append("the table ends in the middle of a chip")
    if report.chips or header:
        report.layout = next((name for name, mark in _LAYOUTS if mark in header), "hbm" if not header else "unknown")


def _chip(upper: list[str], lower: list[str], header: str, report: Report) -> None:
    try:
        identity, where = upper[0].split(None, 1), lower[0].split()
        chip = Chip(npu_id=int(identity[0]), name=identity[1].strip() if len(identity) > 1 else None)
        chip.chip_id = int(where[0]) if where else None
        if len(where) > 1:
            if "Phy-ID" in header:
                chip.phy_id = int(where[1])
            else:
                chip.logic_id = int(where[1])
        chip.health = upper[1] or None
        chip.bus_id = lower[1] if lower[1] not in ("", "NA") else None
        _measures(chip, upper[2], lower[2], header)
    except (ValueError, IndexError) as wrong:
        report.warnings.append(f"chip not understood ({wrong}): {' | '.join(upper)} / {' | '.join(lower)}")
        return
    report.chips.append(chip)


def _measures(chip: Chip, upper: str, lower: str, header: str) -> None:
    pages = _PAIR.search(upper)
    plain = (upper[: pages.start()] if pages else upper).split()
    chip.power_w = _number(plain[0]) if plain else None
    chip.temp_c = _number(plain[1]) if len(plain) > 1 else None
    if pages:
        chip.hugepages_used, chip.hugepages_total = int(pages.group(1)), int(pages.group(2))
    pairs = [(int(used), int(total)) for used, total in _PAIR.findall(lower)]
    start = _PAIR.search(lower)
    load = (lower[: start.start()] if start else lower).split()
    # "NPU Util(%)" of the 950 is another quantity than AI core use, and is not passed off as it.
    chip.aicore_percent = _number(load[0]) if load and "AICore" in header else None
    if "Memory-Usage" in header and pairs:
        chip.memory_used_mb, chip.memory_total_mb = pairs.pop(0)
    if pairs:
        chip.hbm_used_mb, chip.hbm_total_mb = pairs.pop(0)


def _process(cells: list[str], row: str, report: Report) -> None:
    try:
        npu, *chip = cells[0].split()
        report.processes.append(
            Process(int(npu), int(chip[0]) if chip else None, int(cells[1]), cells[2] or None, int(cells[3]))
        )
    except (ValueError, IndexError):
        report.warnings.append(f"process not understood: {row}")


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if value == value and abs(value) != float("inf") else None
