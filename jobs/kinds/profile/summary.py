"""What the result files of msprof say, in short. Pure.

The files lie in ``PROF_*/mindstudio_profiler_output`` and are named ``MODULE_TIMESTAMP.csv``. Their columns differ by
product and version of CANN and are therefore found by their names (hiascend.com, "Profile Data File References"):

- ``op_statistic``: Device_id, OP Type, Core Type, Count, Total Time(us), Ratio(%), ...
- ``ai_core_utilization``, ``ai_vector_core_utilization`` (sampled): Device_id, Core ID, and ratios from 0 to 1 such as
  ``mac_ratio`` and ``mte2_ratio``; ``memory_bound`` over 1 says that cores wait for data more than they compute.
- ``api_statistic``: Device_id, Level, API Name, Time(us), Count, ...
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

MARK = "@@profile "
SHOWN = 12
_FILE = re.compile(rf"^{re.escape(MARK)}file (\S+)$")


def files(log: str) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """(name, rows) of each CSV that stands in a log behind a line ``@@profile file NAME``."""
    name, lines = "", list[str]()
    for line in [*log.splitlines(), f"{MARK}end"]:
        if line.startswith(MARK):
            if name:
                yield name, list(csv.DictReader(lines, skipinitialspace=True))
            found = _FILE.match(line)
            name, lines = found[1] if found else "", []
        elif name:
            lines.append(line)


def summary(log: str) -> dict[str, Any]:
    """``operators`` and ``apis`` by their share of the time, longest first; ``cores``: mean of each ratio by device.

    A key is there only when msprof wrote the file. Times in microseconds, shares in percent.
    """
    operators: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0, 0.0])
    apis: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0, 0.0])
    cores: dict[str, dict[str, list[float]]] = {}
    found: dict[str, Any] = {}
    for name, rows in files(log):
        if name.startswith("op_statistic"):
            found["operators"] = operators
            _add(operators, rows, ("OP Type", "Core Type"), ("Total Time(us)", "Total Time"))
        elif name.startswith("api_statistic"):
            found["apis"] = apis
            _add(apis, rows, ("Level", "API Name"), ("Time(us)",))
        elif name.startswith(("ai_core_utilization", "ai_vector_core_utilization")):
            found["cores"] = cores
            kind = "AI Vector Core" if name.startswith("ai_vector") else "AI Core"
            for row in rows:
                device = cores.setdefault(f"{kind}, device {row.get('Device_id', '?')}", defaultdict(list))
                for column, text in row.items():
                    if column not in (None, "Device_id", "Core ID") and (value := _number(text)) is not None:
                        device[column].append(value)
    said: dict[str, Any] = {}
    if "operators" in found:
        said["operators"] = _ranked(operators, ("type", "core"))
    if "apis" in found:
        said["apis"] = _ranked(apis, ("level", "name"))
    if "cores" in found:
        said["cores"] = {
            device: {name: round(sum(values) / len(values), 4) for name, values in columns.items()}
            for device, columns in cores.items()
        }
    return said


def _add(
    sums: dict[tuple[str, str], list[float]], rows: Iterable[Mapping[str, str]], keys: tuple[str, str],
    times: tuple[str, ...],
) -> None:  # fmt: skip
    for row in rows:
        time = next((value for name in times if (value := _number(row.get(name))) is not None), None)
        if time is not None:
            entry = sums[row.get(keys[0]) or "?", row.get(keys[1]) or "?"]
            entry[0] += _number(row.get("Count")) or 0
            entry[1] += time


def _ranked(sums: Mapping[tuple[str, str], list[float]], names: tuple[str, str]) -> list[dict[str, Any]]:
    whole = sum(time for _, time in sums.values()) or 1
    ranked = sorted(sums.items(), key=lambda item: -item[1][1])[:SHOWN]
    return [
        {
            **dict(zip(names, key, strict=True)),
            "count": int(count),
            "time_us": round(time, 3),
            "share_percent": round(100 * time / whole, 2),
        }
        for key, (count, time) in ranked
    ]


def _number(text: str | None) -> float | None:
    """``None`` for what is no number: N/A, or a cell that is missing."""
    try:
        return float((text or "").strip())
    except ValueError:
        return None
