"""Rollups as they are asked for: what machines did between two times, in steps."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import groupby

from hardware.inventory.models import Machine
from hardware.telemetry.rollups import packing
from hardware.telemetry.rollups.hours import made_of
from hardware.telemetry.rollups.models import Hour, Minute
from hardware.telemetry.rollups.recorder import figures, period
from hardware.telemetry.rollups.records import SILENT, Period, Stat

MINUTE, HOUR = 60, 3600
# Machine, when it began, state, data.
_Row = tuple[int, int, str, bytes | memoryview]


def read(machines: Iterable[Machine], since: datetime, until: datetime, step: int) -> list[Period]:
    """Periods of ``step`` seconds that begin in [since, until), by machine and time; none where nobody looked.

    ``step`` is a divisor of an hour in whole minutes (read from the samples themselves: every figure is exact) or a
    multiple of one (read from hours; of several hours ``p95`` is the highest of theirs). Raises ``ValueError``.
    """
    if step < MINUTE or (HOUR % step if step < HOUR else step % HOUR) or step % MINUTE:
        raise ValueError(f"a step of {step} s; use whole minutes that divide an hour, or whole hours")
    names = {machine.pk: machine.name for machine in machines}
    first, last = int(since.timestamp()), int(until.timestamp())
    return list(_minutes(names, first, last, step) if step < HOUR else _hours(names, first, last, step))


def _minutes(names: dict[int, str], first: int, last: int, step: int) -> Iterator[Period]:
    rows = Minute.objects.filter(machine_id__in=names, at__gte=first, at__lt=last).order_by("machine_id", "at")
    found = rows.values_list("machine_id", "at", "state", "data").iterator()
    for (machine_id, at), those in groupby(found, lambda row: (row[0], row[1] // step * step)):
        yield _joined(names[machine_id], machine_id, at, step, list(those))


def _joined(name: str, machine_id: int, at: int, step: int, rows: list[_Row]) -> Period:
    samples = packing.joined([(begin, packing.unpack(data)) for _id, begin, _state, data in rows], at)
    return period(name, machine_id, at, step, samples)


def _hours(names: dict[int, str], first: int, last: int, step: int) -> Iterator[Period]:
    rows = Hour.objects.filter(machine_id__in=names, at__gte=first, at__lt=last)
    hours: list[_Row] = list(rows.values_list("machine_id", "at", "state", "data"))
    there = {(machine_id, at) for machine_id, at, *_ in hours}
    # The one that is under way, and one that is over and not made yet.
    recent = int(time.time()) // HOUR * HOUR - HOUR
    for machine_id in names if last > recent else ():
        made = made_of(machine_id, max(first, recent), last)
        hours += [(machine_id, one.at, one.state, one.data) for one in made if (machine_id, one.at) not in there]
    hours.sort(key=lambda row: row[:2])
    for (machine_id, at), those in groupby(hours, lambda row: (row[0], row[1] // step * step)):
        yield _merged([_hour(names[machine_id], row) for row in those], at, step)


def _hour(name: str, row: _Row) -> Period:
    machine_id, at, state, data = row
    of, stats = packing.unpack_stats(data)
    return figures(name, machine_id, at, HOUR, state, of, stats)


def _merged(hours: list[Period], at: int, step: int) -> Period:
    if len(hours) == 1 and step == HOUR:
        return hours[0]
    first = hours[0]
    told = [hour for hour in hours if hour.state != SILENT]
    chips = sorted({npu for hour in told for npu in hour.npus})
    npus = {npu: _together([hour.npus.get(npu, {}) for hour in told]) for npu in chips}
    began = datetime.fromtimestamp(at, first.at.tzinfo)
    state = told[-1].state if told else SILENT
    return Period(first.machine, first.machine_id, began, step, state, npus, _together([hour.vitals for hour in told]))


def _together(parts: list[dict[str, Stat]]) -> dict[str, Stat]:
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: _over([part[name] for part in parts if name in part]) for name in names}


def _over(stats: list[Stat]) -> Stat:
    count = sum(stat.count for stat in stats)
    return Stat(
        min(stat.min for stat in stats),
        sum(stat.mean * stat.count for stat in stats) / count,
        max(stat.max for stat in stats),
        max(stat.p95 for stat in stats),
        count,
    )
