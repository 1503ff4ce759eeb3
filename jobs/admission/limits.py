"""Concurrency limits: how many jobs of a kind, or at a site, and how many machines of a site, at once.

Those who wait at a limit stand in line there: whoever has waited for longer than ``PATIENCE_S`` first, in the order in
which they came; then by priority, then the older job. What is free is kept for those in front, so that a job that needs
much is not passed by for ever by those that need little. A job that could never fit keeps nothing from others, and says
so.

Only jobs that are under way and jobs in front in that line are in a job's way, so nobody waits in a circle.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from django.db.models import Count, Q, QuerySet

from hardware.statements import Prepared
from jobs.admission.line import ahead_of
from jobs.admission.models import Limit
from jobs.admission.obstacle import Obstacle
from jobs.models import Job, JobTarget
from jobs.options import Options
from jobs.states import ENDED, JobState

PATIENCE_S = 3600
# Of a limit that lets so many begin at once, no more are woken when a job ends.
WOKEN = 20

# Asked for each job that begins, and each that ends.
_LIMITS = Prepared(Limit, lambda limits: limits.order_by("pk"))


def crowded(job: Job) -> Obstacle | None:
    """The limit that keeps a job from beginning now. Call inside the transaction that claims it."""
    limits = [limit for limit in _LIMITS.objects() if limit.kind in ("", job.kind) and _concerns(limit, job)]
    if not limits:
        return None
    # Who counts here counts alone, and by what the limit says then. SQLite has one writer anyway.
    held = Limit.objects.select_for_update(no_key=True).filter(pk__in=[limit.pk for limit in limits]).order_by("pk")
    for limit in held:
        for counted, most in (("jobs", limit.jobs), ("machines", limit.machines if job.mutates else None)):
            if most is not None:
                found = _full(limit, counted, most, job)
                if found is not None:
                    return found
    return None


def under_way() -> Q:
    """Jobs that have begun and have not ended."""
    return Q(started_at__isnull=False) & ~Q(state__in=ENDED)


def in_line(limit_id: int) -> QuerySet[Job]:
    """Those who wait at a limit and could fit."""
    waiting = Job.objects.filter(state=JobState.WAITING, waits_on__reason="limit", waits_on__limit=limit_id)
    return waiting.exclude(waits_on__has_key="wide")


def to_wake(job_id: int) -> list[tuple[int, str]]:
    """Those (id, queue) who may begin now that a job has ended, the first in line first."""
    limits = _LIMITS.objects()
    if not limits:
        return []
    kind = Job.objects.values_list("kind", flat=True).get(pk=job_id)
    found: dict[int, str] = {}
    for limit in (limit for limit in limits if limit.kind in ("", kind)):
        rows = in_line(limit.pk).values_list("pk", "queue", "priority", "waits_on__since")
        old = time.time() - PATIENCE_S
        ranked = sorted(rows, key=lambda row: _rank(row[0], row[2], row[3] or 0, old))
        found.update((pk, queue) for pk, queue, *_ in ranked[: min(limit.jobs or WOKEN, WOKEN)])
    return list(found.items())


def _rank(pk: int, priority: int, since: float, old: float) -> tuple[float, ...]:
    return (0, since, pk) if since < old else (1, -priority, pk)


def _concerns(limit: Limit, job: Job) -> bool:
    return not limit.site or JobTarget.objects.filter(job=job, machine__site=limit.site).exists()


def taken(limit: Limit, counted: str) -> int:
    """What is under way of it now."""
    return sum(_widths(limit, counted, _began(limit)).values())


def _began(limit: Limit) -> QuerySet[Job]:
    began = Job.objects.filter(under_way())
    if limit.kind:
        began = began.filter(kind=limit.kind)
    if limit.site:
        began = began.filter(pk__in=JobTarget.objects.filter(machine__site=limit.site).values("job"))
    return began


def _full(limit: Limit, counted: str, most: int, job: Job) -> Obstacle | None:
    """Why there is no room for one more."""
    widths = _widths(limit, counted, _began(limit).exclude(pk=job.pk))
    used = sum(widths.values())
    mine = _widths(limit, counted, Job.objects.filter(pk=job.pk))[job.pk]
    now = int(time.time())
    since = job.waits_on.get("since", now) if job.waits_on.get("limit") == limit.pk else now
    values: dict[str, Any] = {
        "limit": limit.pk, "counts": counted, "kind": limit.kind, "site": limit.site, "used": used, "most": most,
        "width": mine, "since": since,
    }  # fmt: skip
    if mine > most:
        return Obstacle("limit", values={**values, "wide": True})
    if used + mine > most:
        return Obstacle("limit", job=min(widths), values=values)
    kept, first = _kept(limit, counted, job, since)
    if used + kept + mine > most:
        return Obstacle("limit", job=first, values={**values, "behind": True})
    return None


def _kept(limit: Limit, counted: str, job: Job, since: int) -> tuple[int, int | None]:
    """What is kept for those in front of a job in the limit's line, and who is the first of them."""
    old = int(time.time()) - PATIENCE_S
    front = in_line(limit.pk).filter(waits_on__counts=counted).exclude(pk=job.pk)
    if since < old:
        front = front.filter(Q(waits_on__since__lt=since) | Q(waits_on__since=since, pk__lt=job.pk))
    else:
        front = front.filter(ahead_of(job) | Q(waits_on__since__lt=old))
    rows: Iterable[tuple[int, int]] = front.order_by("-priority", "pk").values_list("pk", "waits_on__width")
    kept, first = 0, None
    for pk, width in rows:
        kept, first = kept + width, first or pk
    return kept, first


def _widths(limit: Limit, counted: str, jobs: QuerySet[Job]) -> dict[int, int]:
    """What each of the jobs counts for."""
    if counted == "jobs":
        return dict.fromkeys(jobs.values_list("pk", flat=True), 1)
    here = Count("jobtarget", filter=Q(jobtarget__machine__site=limit.site) if limit.site else None)
    rows = jobs.filter(mutates=True).annotate(here=here).values_list("pk", "options", "here")
    return {pk: at_once(here, Options.from_json(options)) for pk, options, here in rows}


def at_once(machines: int, options: Options) -> int:
    """How many of so many machines a job changes at a time."""
    return min(machines, options.parallel, options.batch_size or machines)
