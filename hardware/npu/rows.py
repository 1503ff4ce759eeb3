"""What a table's header says of its rows, and rows that are just as it says, read by one expression each.

A collector reads a thousand tables a second, and nearly all their rows are of this kind; every other one is for
``table`` to take apart, which comes to the same for these.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from hardware.npu.report import Chip, Process
from hardware.npu.values import number, word

# For each cell of a row what stands in it, in order.
Spec = tuple[tuple[str, ...], ...]

IDS = {"npu": "npu_id", "chip": "chip_id", "phy": "phy_id", "logic": "logic_id"}
SINGLES = {"power": "power_w", "temp": "temp_c", "aicore": "aicore_percent"}
PAIRS = {
    "pages": ("hugepages_used", "hugepages_total"),
    "memory": ("memory_used_mb", "memory_total_mb"),
    "hbm": ("hbm_used_mb", "hbm_total_mb"),
}
UTIL = "NPU Util(%)"

_WHOLE, _NUMBER = r"([0-9]{1,15})", r"(-?[0-9]{1,15}(?:\.[0-9]{1,15})?|NA|-)"
_SHAPES = {
    "health": r"((?!NA\b)[A-Za-z]+)",
    "bus": r"((?:[0-9A-Fa-f]{4,8}:)?[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-9A-Fa-f]|NA)",
    "name": r"([^|\s](?:[^|]*[^|\s])?)",
    "pid": _WHOLE,
    "container": r"([0-9]{1,15}|NA|-)",
    "util": _NUMBER,
    **dict.fromkeys(IDS, _WHOLE),
    **dict.fromkeys(SINGLES, _NUMBER),
    **dict.fromkeys(PAIRS, rf"{_WHOLE}\s*/\s*{_WHOLE}"),
}
_WORDS = {"health": "health", "bus": "bus_id", "name": "name"}


class ChipRows:
    """Both rows of a chip under one header."""

    def __init__(self, upper: Spec, lower: Spec) -> None:
        self.upper, first = _expression(upper)
        self.lower, second = _expression(lower)
        self.places = [*first, *second]

    def read(self, upper: str, lower: str) -> tuple[Chip, float | None] | None:
        """The chip and its NPU utilisation; ``None`` if a row is not just as it should be."""
        first = self.upper.fullmatch(upper)
        second = first and self.lower.fullmatch(lower)
        if first is None or second is None:
            return None
        values: dict[str, Any] = {}
        for (name, whole, words), text in zip(self.places, first.groups() + second.groups(), strict=True):
            values[name] = int(text) if whole else word(text) if words else number(text)
        util = values.pop(UTIL, None)
        return Chip(**values), util


@lru_cache(maxsize=64)
def chip_rows(upper: Spec, lower: Spec) -> ChipRows:
    return ChipRows(upper, lower)


class ProcessRows:
    """Rows of processes under one header."""

    def __init__(self, spec: Spec) -> None:
        self.expression, places = _expression(tuple(("memory_mb",) if cell == ("memory",) else cell for cell in spec))
        self.names = [name for name, _, _ in places]

    def read(self, row: str) -> Process | None:
        """``None`` if the row is not just as it should be, or tells of a process id in a container."""
        found = self.expression.fullmatch(row)
        if found is None:
            return None
        values = dict(zip(self.names, found.groups(), strict=True))
        if values.get("container", "NA") not in ("NA", "-") or "npu_id" not in values or "pid" not in values:
            return None
        chip, memory = values.get("chip_id"), values.get("memory_mb")
        return Process(
            int(values["npu_id"]),
            None if chip is None else int(chip),
            int(values["pid"]),
            word(values.get("name", "")),
            None if memory is None else int(memory),
        )


@lru_cache(maxsize=64)
def process_rows(spec: Spec) -> ProcessRows:
    return ProcessRows(spec)


def _expression(spec: Spec) -> tuple[re.Pattern[str], list[tuple[str, bool, bool]]]:
    """An expression for a row, and for each of its groups: a field, whether it is a whole number, whether words."""
    places: list[tuple[str, bool, bool]] = []
    cells = []
    for kinds in spec:
        cells.append(r"\s*" + r"\s+".join(_SHAPES.get(kind, _WHOLE) for kind in kinds) + r"\s*")
        for kind in kinds:
            if kind in PAIRS:
                places += [(name, True, False) for name in PAIRS[kind]]
            elif kind in _WORDS:
                places.append((_WORDS[kind], False, True))
            elif kind == "util":
                places.append((UTIL, False, False))
            else:
                places.append((IDS.get(kind) or SINGLES.get(kind) or kind, kind in IDS, False))
    return re.compile(rf"\|{'[|]'.join(cells)}\|\s*"), places
