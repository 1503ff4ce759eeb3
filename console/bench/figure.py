"""One row of what was measured: against its bar, and against a peer in the same run."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HEAD = "what | measured | bar | peer | ratio | verdict"


@dataclass
class Figure:
    """``ok`` is ``None`` where there is no bar. ``ratio`` is ours by the peer's. ``detail`` is for the JSON alone."""

    what: str
    measured: str
    bar: str = "-"
    peer: str = "-"
    ratio: float | None = None
    ok: bool | None = None
    detail: dict[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        verdict = {True: "ok", False: "missed", None: "-"}[self.ok]
        ratio = "-" if self.ratio is None else f"{self.ratio:.2f}"
        return " | ".join([self.what, self.measured, self.bar, self.peer, ratio, verdict])


def at(values: Sequence[float], part: float) -> float:
    """The value that ``part`` of them don't exceed: 0.95 gives p95."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(len(ranked) * part))]


def machine() -> dict[str, Any]:
    """What this was measured on: figures of a busy machine mean less, so its load is told."""
    told = [line.partition(": ")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    model = told[0] if told else platform.machine()
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
    }


def resident_mb(pid: int) -> float:
    """What a process holds in memory now."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def cpu_seconds(pid: int) -> float:
    """What a process has used of the processors so far."""
    parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")
