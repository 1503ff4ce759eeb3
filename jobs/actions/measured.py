"""What the collector measured of a machine between two times, out of the samples that its rollups keep."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from hardware.inventory.models import Machine
from hardware.telemetry.rollups import packing
from hardware.telemetry.rollups.models import Minute

# Rows are by the minute.
ROW_SECONDS = 60
# What only grows, until its process starts anew: it is told by how much it grew.
COUNTERS = ("out_of_memory", "ecc_errors")


def measured(
    machine: Machine, names: Sequence[str], npus: Collection[int], since: datetime, until: datetime
) -> dict[str, Any]:
    """``samples`` in that time, and by name the mean of each metric, or of a counter the growth; ``None`` for what was
    not measured. ``npus`` are places in npu-smi's list whose metrics count; empty: all.
    """
    first, last = since.timestamp(), until.timestamp()
    rows = Minute.objects.filter(machine=machine, at__gt=first - ROW_SECONDS, at__lt=last).order_by("at")
    parts = [(at, packing.unpack(data)) for at, data in rows.values_list("at", "data")]
    if not parts:
        return {"samples": 0, **dict.fromkeys(names)}
    begin = parts[0][0]
    whole = packing.joined(parts, begin)
    at = whole.times.astype(np.float64) / 1000 + begin
    inside = whole.values[(at >= first) & (at < last)]
    listed = sorted(whole.layout.npus)
    counted = {npu for place, npu in enumerate(listed) if not npus or place in npus}
    found: dict[str, Any] = {"samples": len(inside)}
    stats = packing.stats(inside, whole.layout)
    for name in names:
        places = [
            place
            for place, (npu, metric) in enumerate(whole.layout.series)
            if metric == name and (npu is None or npu in counted)
        ]
        if name in COUNTERS:
            grown = [_growth(inside[:, place]) for place in places]
            scale = packing.VITAL_RESOLUTION if name == "out_of_memory" else 1
            known = [value / scale for value in grown if value is not None]
            found[name] = sum(known) if known else None
        else:
            means = [stat.mean for place in places if (stat := stats[place]) is not None]
            found[name] = round(sum(means) / len(means), 3) if means else None
    return found


def _growth(values: np.ndarray[Any, Any]) -> float | None:
    """By how much a counter grew; one that falls began anew at nothing."""
    known = values[values != packing.MISSING].astype(np.int64)
    if not len(known):
        return None
    steps = np.diff(known)
    return float(np.where(steps >= 0, steps, known[1:]).sum())
