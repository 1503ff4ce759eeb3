"""The history of jobs: filtered, newest first, paged by id so that a page stays the same while jobs are added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import QueryDict
from django.utils.translation import gettext as _

from jobs import registry
from jobs.models import Job
from jobs.states import HELD, UNSTARTED, JobState

PAGE = 50
NAMES = ("kind", "state", "machine", "person")


@dataclass
class Page:
    """``older`` and ``newer`` are queries of the pages beside this one, empty at the ends."""

    jobs: list[Job]
    older: str
    newer: str


class Filters:
    """What is asked for. A value that nothing can match is kept: the page says that it hides everything."""

    def __init__(self, data: QueryDict) -> None:
        self.values = {name: data.get(name, "").strip() for name in NAMES}
        self.before = _number(data.get("before", ""))
        self.after = _number(data.get("after", ""))

    @property
    def active(self) -> dict[str, str]:
        return {name: value for name, value in self.values.items() if value}

    def words(self) -> str:
        """The active filters as a person reads them: ``kind: Quantize, machine: n1-03``."""
        kinds = registry.all_kinds()
        state = self.values["state"]
        said = {
            _("kind"): str(kinds[self.values["kind"]].title) if self.values["kind"] in kinds else self.values["kind"],
            _("state"): _state(state),
            _("machine"): self.values["machine"],
            _("person"): self.values["person"],
        }
        return ", ".join(f"{name}: {value}" for name, value in said.items() if value)

    def apply(self, jobs: QuerySet[Job]) -> QuerySet[Job]:
        if self.values["kind"]:
            jobs = jobs.filter(kind=self.values["kind"])
        if self.values["state"] == "open":
            # Named one by one, so that the index on the state is used: few of a million jobs are open.
            jobs = jobs.filter(state__in=[*UNSTARTED, *HELD])
        elif self.values["state"]:
            jobs = jobs.filter(state=self.values["state"])
        if self.values["machine"]:
            jobs = jobs.filter(machines__name=self.values["machine"])
        if self.values["person"]:
            jobs = jobs.filter(created_by=self.values["person"])
        return jobs

    def page(self) -> Page:
        """Fifty jobs, and whether there are older and newer ones."""
        wanted = self.apply(Job.objects.prefetch_related("machines").defer("plan", "traceback"))
        if self.after is not None:
            found = list(reversed(wanted.filter(pk__gt=self.after).order_by("pk")[: PAGE + 1]))
            more_newer, more_older = len(found) > PAGE, True
            found = found[-PAGE:]
        else:
            wanted = wanted if self.before is None else wanted.filter(pk__lt=self.before)
            found = list(wanted.order_by("-pk")[: PAGE + 1])
            more_newer, more_older = self.before is not None, len(found) > PAGE
            found = found[:PAGE]
        return Page(
            found,
            older=self._query(before=found[-1].pk) if found and more_older else "",
            newer=self._query(after=found[0].pk) if found and more_newer else "",
        )

    def _query(self, **place: Any) -> str:
        return urlencode(self.active | place)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _state(value: str) -> str:
    if value == "open":
        return _("not ended")
    return str(JobState(value).label) if value in JobState.values else value
