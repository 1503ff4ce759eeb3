"""The times of a schedule: once, by a cron expression in a time zone, or every so often. Pure: no clock is read.

A cron expression is read on the wall clock of its zone, and clocks are changed twice a year. As with cron itself:

- an hour that is named (``30 2 * * *``) happens once a day. A time that the change leaves out happens at the first
  moment after the jump; one that the change brings twice happens the first time.
- an hour that begins with a star (``30 * * * *``, ``0 */2 * * *``) goes by the clock's face: what is left out does not
  happen, what comes twice happens twice.

``every`` is elapsed time, whatever clocks are changed in between.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo, available_timezones

from jobs.failures import PlanRefused

Mode = Literal["once", "cron", "every"]

SHORTEST_SECONDS = 60
LONGEST_SECONDS = 366 * 86400
# Within so many days every day that there is comes by: 29 February may be away for eight years.
HORIZON_DAYS = 8 * 366 + 2
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# Name, lowest and highest number, and words for them from the lowest on. Sunday is 0 and 7.
FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _WEEKDAYS),
)


@dataclass(frozen=True)
class Cron:
    """A cron expression, read: the numbers that match, and whether the hour begins with a star."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    # 0 is Sunday.
    weekdays: frozenset[int]
    by_the_face: bool

    def on(self, day: date) -> bool:
        return day.month in self.months and day.day in self.days and day.isoweekday() % 7 in self.weekdays


@dataclass(frozen=True)
class Recurrence:
    """When a schedule fires. ``at`` for ``once``; ``cron`` and ``zone``; ``seconds`` from ``at`` on for ``every``."""

    mode: Mode
    zone: str = "UTC"
    at: datetime | None = None
    cron: str = ""
    seconds: int = 0

    def check(self) -> None:
        """Raise ``PlanRefused`` with the field that makes no sense."""
        read_zone(self.zone)
        if self.mode == "cron":
            if next(self.after(datetime(2024, 1, 1, tzinfo=UTC)), None) is None:
                raise _refused("cron", f"{self.cron!r} never comes: there is no such day.", "Correct the expression.")
        elif self.at is None:
            raise _refused("at", "The time is missing.", "Give day and time.")
        elif self.mode == "every" and not SHORTEST_SECONDS <= self.seconds <= LONGEST_SECONDS:
            raise _refused(
                "seconds",
                f"Every {self.seconds} s is not possible.",
                f"Give {SHORTEST_SECONDS} to {LONGEST_SECONDS} seconds.",
            )

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Its times later than ``moment``, in order, in UTC. Without end but for ``once`` and that of the calendar."""
        if self.mode == "once":
            if self.at is not None and self.at > moment:
                yield self.at.astimezone(UTC)
        elif self.mode == "every":
            yield from self._steps(moment)
        else:
            yield from self._cron_times(moment)

    def next(self, moment: datetime) -> datetime | None:
        """The first one later than ``moment``."""
        return next(self.after(moment), None)

    def _steps(self, moment: datetime) -> Iterator[datetime]:
        assert self.at is not None
        try:
            begin, step = self.at.astimezone(UTC), timedelta(seconds=self.seconds)
            passed = (moment - begin) // step + 1 if moment >= begin else 0
            while True:
                yield begin + passed * step
                passed += 1
        except OverflowError:
            # No calendar goes on for ever.
            return

    def _cron_times(self, moment: datetime) -> Iterator[datetime]:
        cron, zone = read_cron(self.cron), read_zone(self.zone)
        last, day = moment.astimezone(UTC), moment.astimezone(zone).date()
        for _ in range(HORIZON_DAYS):
            if cron.on(day):
                for found in _of_day(cron, zone, day):
                    # The end of a gap may be reached by several of its times.
                    if found > last:
                        yield found
                        last = found
            day += timedelta(days=1)


def _of_day(cron: Cron, zone: ZoneInfo, day: date) -> list[datetime]:
    """A day's times in UTC, in order."""
    found = []
    for hour in cron.hours:
        for minute in cron.minutes:
            wall = datetime.combine(day, time(hour, minute), zone)
            first, second = (wall.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
            if cron.by_the_face and first > second:
                # It is left out.
                continue
            found.append(first_moment(wall))
            if cron.by_the_face and first < second:
                # It comes again, when the clock has been put back.
                found.append(second)
    return sorted(found)


def first_moment(wall: datetime) -> datetime:
    """When the clock of ``wall``'s zone first shows it, in UTC; a time that is left out counts as the gap's end."""
    zone = wall.tzinfo
    assert zone is not None
    # Of a time that is left out: read by the zone's offset from before the jump it lies after it, and vice versa.
    later, earlier = (wall.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    if later.astimezone(zone).replace(tzinfo=None) == wall.replace(tzinfo=None, fold=0):
        return later
    while later - earlier > timedelta(seconds=1):
        middle = earlier + (later - earlier) // 2
        if middle.astimezone(zone).utcoffset() == later.astimezone(zone).utcoffset():
            later = middle
        else:
            earlier = middle
    return later.replace(microsecond=0)


@lru_cache(maxsize=512)
def read_cron(text: str) -> Cron:
    """Read ``MINUTE HOUR DAY MONTH WEEKDAY``. Raises ``PlanRefused`` with what is wrong with it."""
    parts = text.lower().split()
    if len(parts) != len(FIELDS):
        mend = f"Give five: {', '.join(name for name, *_ in FIELDS)}; such as 30 2 * * 1-5."
        raise _refused("cron", f"{text!r} has {len(parts)} parts.", mend)
    if not parts[2].startswith("*") and not parts[4].startswith("*"):
        # Every cron reads this in its own way: days that are both, or either.
        raise _refused(
            "cron",
            f"{text!r} names days of the month and days of the week.",
            "Name one of them and put * for the other; two schedules can do both.",
        )
    read = [_numbers(part, *field) for part, field in zip(parts, FIELDS, strict=True)]
    minutes, hours, days, months, weekdays = read
    return Cron(
        tuple(sorted(minutes)), tuple(sorted(hours)), days, months, frozenset(day % 7 for day in weekdays),
        parts[1].startswith("*"),
    )  # fmt: skip


_PIECE = re.compile(r"(?:(\*)|(\w+)(?:-(\w+))?)(?:/(\d+))?")


def _numbers(part: str, name: str, low: int, high: int, words: tuple[str, ...]) -> frozenset[int]:
    """The numbers that a part stands for: ``*``, ``5``, ``1-5``, ``mon-fri``, ``*/10``, ``0-30/10``, lists of them."""
    found: set[int] = set()
    for piece in part.split(","):
        read = _PIECE.fullmatch(piece)
        if read is None:
            raise _refused("cron", f"{piece!r} is no {name}.", f"Give the {name} as *, 5, 1-5, */10 or a list of them.")
        star, begin, end, step = read.groups()
        first = low if star else _number(begin, name, low, high, words)
        last = high if star or (step and not end) else _number(end or begin, name, low, high, words)
        if first > last:
            raise _refused("cron", f"{piece!r} runs backwards.", f"Give the {name} as {last}-{first}, or as a list.")
        if step and not 1 <= int(step) <= high:
            raise _refused("cron", f"{piece!r}: the step is out of range.", f"Give a step of 1 to {high}.")
        found.update(range(first, last + 1, int(step or 1)))
    return frozenset(found)


def _number(text: str, name: str, low: int, high: int, words: tuple[str, ...]) -> int:
    if text in words:
        return low + words.index(text)
    if text.isascii() and text.isdigit() and low <= int(text[:9]) <= high:
        return int(text)
    raise _refused("cron", f"{text!r} is no {name}.", f"Give the {name} as {low} to {high}.")


_CONTINENTS = (
    "Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific",
)  # fmt: skip


@lru_cache(maxsize=1)
def zones() -> list[str]:
    """The names of all time zones, as in ``Asia/Shanghai``; UTC first."""
    return ["UTC", *sorted(name for name in available_timezones() if name.partition("/")[0] in _CONTINENTS)]


@lru_cache(maxsize=512)
def read_zone(name: str) -> ZoneInfo:
    """The zone of that name. Raises ``PlanRefused``."""
    if name not in available_timezones():
        raise _refused("zone", f"There is no time zone called {name}.", "Give a name such as Asia/Shanghai or UTC.")
    return ZoneInfo(name)


def _refused(field: str, cause: str, mend: str) -> PlanRefused:
    return PlanRefused("schedule-invalid", cause, mend, field)
