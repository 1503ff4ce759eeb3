"""The history's filters as its page has them, and the page of jobs that they leave."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _

from jobs import registry
from jobs.history.query import Query
from jobs.history.rows import Row, read
from jobs.states import HELD, IDLE, UNSTARTED, JobState

PAGE = 50
# No job is from before or after; the first and the last days of the calendar have no hour of slack beside them.
FIRST, LAST = date(1971, 1, 1), date(9998, 12, 30)
NAMES = ("kind", "state", "machine", "label", "person", "since", "until", "text")


@dataclass
class Page:
    """``older`` and ``newer`` are queries of the pages beside this one, empty at the ends. ``count`` is in words."""

    rows: list[Row]
    older: str
    newer: str
    count: str


class Filters:
    """What is asked for. A value that nothing can match is kept: the page says that it hides everything."""

    def __init__(self, data: QueryDict) -> None:
        self.values = {name: data.get(name, "").strip()[:200] for name in NAMES}
        self.before = _number(data.get("before", ""))
        self.after = _number(data.get("after", ""))

    @property
    def active(self) -> dict[str, str]:
        return {name: value for name, value in self.values.items() if value}

    @property
    def link(self) -> str:
        """The active filters as the query of an address."""
        return urlencode(self.active)

    def words(self) -> str:
        """The active filters as a person reads them: ``kind: Quantize, machine: n1-03``."""
        kinds = registry.all_kinds()
        kind = self.values["kind"]
        said = {
            _("kind"): str(kinds[kind].title) if kind in kinds else kind,
            _("state"): _state(self.values["state"]),
            _("machine"): self.values["machine"],
            _("label"): self.values["label"],
            _("person"): self.values["person"],
            _("from"): self.values["since"],
            _("until"): self.values["until"],
            _("cause"): self.values["text"],
        }
        return ", ".join(f"{name}: {value}" for name, value in said.items() if value)

    @property
    def query(self) -> Query:
        """Days are the reader's, and the last one is whole."""
        state = self.values["state"]
        states = tuple(map(str, (*UNSTARTED, *HELD, *IDLE))) if state == "open" else (state,)
        since = _day(self.values["since"], nonsense=date.max)
        until = _day(self.values["until"], nonsense=date.min)
        return Query(
            kinds=_one(self.values["kind"]),
            states=states if state else (),
            people=_one(self.values["person"]),
            machine=self.values["machine"],
            label=self.values["label"],
            since=_midnight(since),
            until=_midnight(until and min(until, LAST) + timedelta(days=1)),
            text=self.values["text"],
        )

    def page(self) -> Page:
        """Fifty jobs, and whether there are older and newer ones."""
        found = self.query.slice(PAGE, before=self.before, after=self.after)
        return Page(
            read(found.ids),
            older=self._query(before=found.ids[-1]) if found.ids and found.older else "",
            newer=self._query(after=found.ids[0]) if found.ids and found.newer else "",
            count=in_words(found.count, found.more),
        )

    def _query(self, **place: Any) -> str:
        return urlencode(self.active | place)


def in_words(found: int, more: bool) -> str:
    """``10,000+`` where counting ended."""
    return f"{found:,}+" if more else f"{found:,}"


def _one(value: str) -> tuple[str, ...]:
    return (value,) if value else ()


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _day(text: str, *, nonsense: date) -> date | None:
    """``nonsense`` is a day that lets no job through, for what is no day."""
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return nonsense


def _midnight(day: date | None) -> datetime | None:
    return timezone.make_aware(datetime.combine(min(max(day, FIRST), LAST), time())) if day is not None else None


def _state(value: str) -> str:
    if value == "open":
        return _("not ended")
    return str(JobState(value).label) if value in JobState.values else value
