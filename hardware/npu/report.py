"""What an ``npu-smi`` text says, as records. ``None`` stands for what the tool did not say; nothing is guessed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


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


@dataclass
class Process:
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


@dataclass
class Report:
    """One output. ``layout`` is ``hbm``, ``ddr``, ``a3``, ``npu-id`` or ``unknown`` (then ``raw`` keeps the text)."""

    command: str
    layout: str = "unknown"
    tool_version: str | None = None
    driver_version: str | None = None
    chips: list[Chip] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    error: ToolError | None = None
    raw: str = ""

    def to_json(self) -> dict[str, Any]:
        data = asdict(self)
        if self.layout != "unknown":
            del data["raw"]
        return data
