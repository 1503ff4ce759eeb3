"""A job's steps as its page reads them: without their actions, results and failures, which are most of a row.

A job on 500 machines has 6,000 steps, and its page is read again while it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from jobs.models import Job, JobStep


class Step(NamedTuple):
    """``machine`` is the name, ``None`` for the console itself."""

    pk: int
    stage: int
    lane: int
    position: int
    compensates: bool
    machine_id: int | None
    machine: str | None
    key: str
    title: str
    state: str
    held: bool
    exit_status: int | None
    progress: float | None
    started_at: datetime | None
    ended_at: datetime | None


_FIELDS = tuple("machine__name" if name == "machine" else name for name in Step._fields)


def read(job: Job, machines: Sequence[int | None] | None = None) -> list[Step]:
    """The steps in the order of the plan; with ``machines`` (ids, ``None`` for the console) only those of these."""
    rows = JobStep.objects.filter(job=job).order_by("stage", "lane", "compensates", "position")
    if machines is not None:
        named = Q(machine__in=[machine for machine in machines if machine is not None])
        rows = rows.filter(named | Q(machine=None) if None in machines else named)
    return [Step(*row) for row in rows.values_list(*_FIELDS)]


def since(moment: datetime | None) -> timedelta:
    return timezone.now() - moment if moment else timedelta()


def clock(span: timedelta) -> str:
    """A duration that keeps its place in a narrow cell: ``19 s``, ``3:07``, ``1:02:11``."""
    total = max(0, round(span.total_seconds()))
    if total < 60:
        return _("%(n)s s") % {"n": total}
    hours, rest = divmod(total, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
