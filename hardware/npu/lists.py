"""Outputs in columns without borders: ``info -m``, ``info -t topo`` and ``info watch``."""

from __future__ import annotations

import re
from typing import Any

from hardware.npu.report import Chip, Report
from hardware.npu.values import NOTHING, Unreadable, number, whole, word

_MAPPING_HEAD = re.compile(r"NPU ID\s.*Chip Name", re.I)
_MAPPING_COLUMNS = re.compile(r"(NPU ID)|(Slot ID)|(Chip Logic[ -]?ID)|(Chip Phy\w*-? ?ID)|(Chip ID)|(Chip Name)", re.I)
_MAPPING_KEYS = ("npu_id", "Slot ID", "logic_id", "phy_id", "chip_id", "name")
_NODE = re.compile(r"(NPU|Phy-?ID)\s?(\d{1,6})", re.I)
_LEGEND = re.compile(r"(\S{1,8})\s+=\s+(\S.*)")
_WATCH_HEAD = re.compile(r"NpuID\s*\(Idx\)", re.I)
_WATCH_COLUMN = re.compile(r"([A-Za-z][A-Za-z ]*?)\s*\((Idx|W|C|%)\)", re.I)
_WATCH_KEYS = {"npuid": "npu_id", "chipid": "chip_id", "pwr": "power_w", "temp": "temp_c", "aicore": "aicore_percent"}


def heading(line: str) -> str | None:
    """Which list begins with this line, if one does."""
    if _MAPPING_HEAD.match(line):
        return "mapping"
    if _WATCH_HEAD.match(line):
        return "watch"
    words = line.split()
    if len(words) > 1 and _NODE.fullmatch(words[0]) and (_NODE.fullmatch(words[1]) or words[1] == "CPU"):
        return "topology"
    return None


class Mapping:
    """Rows of ``info -m``. A row without a logic id is no chip: ``fields`` has it under its name (``Mcu``)."""

    def __init__(self, head: str, report: Report) -> None:
        self.report = report
        self.keys = [_MAPPING_KEYS[(match.lastindex or 1) - 1] for match in _MAPPING_COLUMNS.finditer(head)]

    def row(self, line: str) -> bool:
        cells = line.split(None, len(self.keys) - 1)
        if not cells[:1] or not cells[0].isdigit():
            return False
        if len(cells) < len(self.keys):
            self.report.warnings.append(f"row not understood: {line}")
            return True
        values: dict[str, Any] = {}
        try:
            for key, cell in zip(self.keys, cells, strict=True):
                values[key] = word(cell.strip()) if key == "name" else whole(cell)
        except Unreadable:
            self.report.warnings.append(f"row not understood: {line}")
            return True
        ids = [values[key] for key in ("logic_id", "phy_id") if key in values]
        if ids and all(value is None for value in ids):
            other = {"npu_id": values["npu_id"], "chip_id": values.get("chip_id")}
            self.report.fields.setdefault(values["name"] or "no chip", []).append(other)
            return True
        if "Slot ID" in values:
            slot = {"NPU ID": values["npu_id"], "Slot ID": values.pop("Slot ID")}
            self.report.fields.setdefault("npus", []).append(slot)
        self.report.chips.append(Chip(**values))
        return True


class Topology:
    """Rows of ``info -t topo``: how each NPU reaches each other, and which CPUs are near."""

    def __init__(self, head: str, report: Report) -> None:
        self.report = report
        self.columns = [found for found in head.split() if found not in ("CPU", "Affinity")]
        self.affine = "Affinity" in head
        self.links: dict[str, dict[str, str]] = report.fields.setdefault("topology", {})

    def row(self, line: str) -> bool:
        cells = line.split()
        node = _NODE.fullmatch(cells[0]) if cells else None
        if node is None:
            return self._legend(line)
        if len(cells) < 1 + len(self.columns):
            self.report.warnings.append(f"row not understood: {line}")
            return True
        links = zip(self.columns, cells[1:], strict=False)
        self.links[cells[0]] = {other: link for other, link in links if link != "-"}
        if self.affine:
            near = " ".join(cells[1 + len(self.columns) :])
            self.report.fields.setdefault("cpu_affinity", {})[cells[0]] = word(near)
        place = int(node[2])
        self.report.chips.append(Chip(npu_id=place) if node[1].upper() == "NPU" else Chip(phy_id=place))
        return True

    def _legend(self, line: str) -> bool:
        if line.rstrip(":").strip().lower() == "legend":
            return True
        found = _LEGEND.match(line)
        if found:
            self.report.fields.setdefault("legend", {})[found[1]] = found[2].strip()
        return found is not None


class Watch:
    """Rows of ``info watch``. What has no place in a sample stands in ``fields["samples"]``, row by row."""

    def __init__(self, head: str, report: Report) -> None:
        self.report = report
        names = [match[0].strip() for match in _WATCH_COLUMN.finditer(head)]
        self.columns = [(name, _WATCH_KEYS.get(name.partition("(")[0].replace(" ", "").lower())) for name in names]

    def row(self, line: str) -> bool:
        cells = line.split()
        if not cells or not (cells[0][0].isdigit() or cells[0] in NOTHING):
            return False
        sample, rest = Chip(), {}
        try:
            if len(cells) != len(self.columns):
                raise Unreadable(line)
            for (name, key), cell in zip(self.columns, cells, strict=True):
                if key is None:
                    rest[name] = number(cell)
                else:
                    setattr(sample, key, whole(cell) if key.endswith("_id") else number(cell))
        except Unreadable:
            self.report.warnings.append(f"row not understood: {line}")
            return True
        self.report.samples.append(sample)
        if rest:
            self.report.fields.setdefault("samples", []).append(rest)
        return True
