"""What a rollup says, whatever it is stored as."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

# Metrics of an NPU. ``health`` is 0 OK, 1 Warning, 2 Alarm, 3 Critical; ``link`` 1 up, 0 down.
METRICS = (
    "aicore_percent", "temp_c", "power_w", "hbm_used_percent", "health", "ecc_errors", "link", "processes",
)  # fmt: skip
# Metrics of a machine itself: what the collector reads of it, and what the sources of ``TELEMETRY_SOURCES`` tell.
VITALS = (
    "npus_on_bus", "npus_listed", "links_down", "disk_used_percent", "clock_skew_s", "requests_waiting",
    "requests_per_s", "latency_ms", "latency_p95_ms", "latency_spread_percent", "out_of_memory", "max_batch",
    "preprocessing_workers",
)  # fmt: skip
HEALTH = {"OK": 0, "Warning": 1, "Alarm": 2, "Critical": 3}
SILENT = "silent"


class Stat(NamedTuple):
    """Of ``count`` values in a period. ``p95`` is one of them: the smallest that 95 % don't exceed."""

    min: float
    mean: float
    max: float
    p95: float
    count: int  # type: ignore[assignment]


@dataclass(frozen=True)
class Period:
    """One machine in ``seconds`` from ``at`` on.

    ``state`` is that of the last sample (``ok``, ``no-driver``, ``stuck``, ``error``), or ``silent``: the machine was
    asked and gave no sample. ``npus`` are by (npu_id, chip_id), and then by the names of ``METRICS``; what was not read
    is absent.
    """

    machine: str
    machine_id: int
    at: datetime
    seconds: int
    state: str
    npus: dict[tuple[int, int], dict[str, Stat]] = field(default_factory=dict)
    vitals: dict[str, Stat] = field(default_factory=dict)
