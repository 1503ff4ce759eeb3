"""What a tool's text says, as records. ``None`` stands for what the tool did not say; nothing is guessed.

``schema.json`` beside this module describes ``Report.to_json()``; ``docs/npu.md`` explains it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypedDict


@dataclass
class Chip:
    """One chip. Power in watts, temperature in degrees Celsius, memory in MB as the tool counts it."""

    npu_id: int | None = None
    chip_id: int | None = None
    phy_id: int | None = None
    logic_id: int | None = None
    name: str | None = None
    health: str | None = None
    bus_id: str | None = None
    power_w: float | None = None
    temp_c: float | None = None
    aicore_percent: float | None = None
    memory_used_mb: int | None = None
    memory_total_mb: int | None = None
    hbm_used_mb: int | None = None
    hbm_total_mb: int | None = None
    hugepages_used: int | None = None
    hugepages_total: int | None = None

    def take(self, other: Chip, names: Iterable[str] | None = None) -> None:
        """Fill from ``other`` what is not known here; all of it, or the fields of ``names``."""
        mine, its = vars(self), vars(other)
        for name in its if names is None else names:
            if mine[name] is None:
                mine[name] = its[name]


class HalfChip(Chip):
    """A chip of whose two rows one can't be read, or of whose answers several have no id: which of its card's chips it
    is is not known.
    """


@dataclass
class Process:
    """One process on a chip; ``pid`` is the machine's, not the container's."""

    npu_id: int | None
    chip_id: int | None
    pid: int | None
    name: str | None
    memory_mb: int | None


@dataclass
class ToolError:
    """``code`` is the DCMI code (``-8005``) or a word; ``likely_cause`` is for a person."""

    code: str
    text: str
    likely_cause: str


class ErrorJson(TypedDict):
    code: str
    text: str
    likely_cause: str


class ReportJson(TypedDict):
    """What ``python -m hardware.npu`` prints; chips, processes and samples have the fields of their records."""

    command: str | None
    layout: str
    tool_version: str | None
    driver_version: str | None
    chips: list[dict[str, Any]]
    processes: list[dict[str, Any]]
    samples: list[dict[str, Any]]
    fields: dict[str, Any]
    warnings: list[str]
    error: ErrorJson | None


@dataclass
class Report:
    """One output, or several that were pasted one after another.

    ``layout``: of the table ``ddr`` (310, 310B, 310P), ``hbm`` (910, 910B), ``a3`` or ``950``; ``processes``, ``list``,
    ``mapping``, ``topology``, ``watch``, ``fields``, ``version``, ``help``, ``error``; or ``unknown``, and then
    ``fields["raw"]`` keeps the text.
    """

    command: str | None = None
    layout: str = "unknown"
    tool_version: str | None = None
    driver_version: str | None = None
    chips: list[Chip] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    samples: list[Chip] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    error: ToolError | None = None

    def to_json(self) -> ReportJson:
        error = self.error
        return {
            "command": self.command,
            "layout": self.layout,
            "tool_version": self.tool_version,
            "driver_version": self.driver_version,
            "chips": [dict(vars(chip)) for chip in self.chips],
            "processes": [dict(vars(process)) for process in self.processes],
            "samples": [dict(vars(chip)) for chip in self.samples],
            "fields": self.fields,
            "warnings": self.warnings,
            "error": None
            if error is None
            else {"code": error.code, "text": error.text, "likely_cause": error.likely_cause},
        }
