"""Stretches of time, as sorted lists that don't overlap. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from jobs.schedules.recurrence import first_moment

# From a moment up to another, which is not in it. Both in UTC.
Span = tuple[datetime, datetime]


@dataclass(frozen=True)
class Weekly:
    """On ``weekdays`` (0 is Monday) from ``begins`` to ``ends`` on the wall clock of ``zone``, over midnight maybe."""

    weekdays: frozenset[int]
    begins: time
    ends: time
    zone: ZoneInfo

    def spans(self, first: datetime, last: datetime) -> list[Span]:
        """Its stretches that lie in, or reach into, ``first`` to ``last``."""
        found = []
        # Yesterday's may reach into today.
        day = first.astimezone(self.zone).date() - timedelta(days=1)
        until = last.astimezone(self.zone).date()
        while day <= until:
            if day.weekday() in self.weekdays:
                end_day = day + timedelta(days=1) if self.ends <= self.begins else day
                begin = first_moment(datetime.combine(day, self.begins, self.zone))
                end = first_moment(datetime.combine(end_day, self.ends, self.zone))
                if begin < end and begin < last and end > first:
                    found.append((begin, end))
            day += timedelta(days=1)
        return found


def union(spans: Iterable[Span]) -> list[Span]:
    joined: list[Span] = []
    for begin, end in sorted(spans):
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined


def without(spans: Sequence[Span], taken: Iterable[Span]) -> list[Span]:
    """What is left of ``spans`` where none of ``taken`` is."""
    left = list(spans)
    for begin, end in taken:
        left = [
            part
            for first, last in left
            for part in ((first, min(last, begin)), (max(first, end), last))
            if part[0] < part[1]
        ]
    return sorted(left)


def both(one: Sequence[Span], other: Sequence[Span]) -> list[Span]:
    """Where both are."""
    found, i, j = [], 0, 0
    while i < len(one) and j < len(other):
        begin, end = max(one[i][0], other[j][0]), min(one[i][1], other[j][1])
        if begin < end:
            found.append((begin, end))
        if one[i][1] <= other[j][1]:
            i += 1
        else:
            j += 1
    return found


def first_in(spans: Sequence[Span], moment: datetime) -> datetime | None:
    """The first moment from ``moment`` on that lies in one of them."""
    return next((max(begin, moment).astimezone(UTC) for begin, end in spans if end > moment), None)
