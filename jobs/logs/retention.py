"""Removing logs that are older than they are kept, or that take more room than all of them may.

Only of jobs that have ended, the oldest end first. The job stays, with its steps, the log's length and hashes, and what
the trail says of it; that the log is gone, when and why, is written down first, so that nobody reads half of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet, Sum
from django.utils import timezone

from hardware.events import announce, audit
from jobs.models import Job, LogBlock, LogChunk, LogLimit
from jobs.states import ENDED

# Rows that one transaction takes away, and logs that one call removes: others write meanwhile.
ROWS = 200
LOGS = 500


def remove_old() -> int:
    """Remove what is due, ``LOGS`` at most; returns how many logs were removed."""
    removed = 0
    for job_id in _begun():
        _take_away(job_id)
    for job, why in _due():
        if removed == LOGS:
            break
        removed += remove(job, why)
    return removed


def remove(job: Job, why: LogLimit) -> bool:
    """Remove the log of a job that has ended; ``False`` when it is gone already."""
    now = timezone.now()
    with transaction.atomic():
        marked = Job.objects.filter(pk=job.pk, state__in=ENDED, log_removed_at=None).update(
            log_removed_at=now, log_removed_for=why
        )
        if not marked:
            return False
        audit(
            "job.log-removed", f"job:{job.pk}", reason=why.value, length=job.log_length, sha256=job.log_sha256,
            ended_at=job.ended_at.isoformat() if job.ended_at else None,
        )  # fmt: skip
        announce(f"job:{job.pk}", "log-removed")
    _take_away(job.pk)
    return True


def _due() -> Iterator[tuple[Job, LogLimit]]:
    kept = _kept().only("state", "ended_at", "log_length", "log_sha256", "log_stored")
    if settings.LOG_DAYS:
        limit = timezone.now() - timedelta(days=settings.LOG_DAYS)
        for job in kept.filter(ended_at__lt=limit)[:LOGS]:
            yield job, LogLimit.AGE
    if settings.LOG_BYTES:
        taken = Job.objects.filter(log_stored__gt=0).aggregate(taken=Sum("log_stored"))["taken"] or 0
        over = taken - settings.LOG_BYTES
        for job in kept[:LOGS] if over > 0 else ():
            if over <= 0:
                break
            over -= job.log_stored
            yield job, LogLimit.SIZE


def _kept() -> QuerySet[Job]:
    """Jobs whose logs take room, the oldest end first. One that nobody has closed yet has no hash: it stays."""
    return Job.objects.filter(log_stored__gt=0, log_removed_at=None, log_packed=True).order_by("ended_at")


def _begun() -> list[int]:
    """Jobs whose log was to be removed by a process that died in the midst of it."""
    return list(Job.objects.filter(log_stored__gt=0, log_removed_at__isnull=False).values_list("pk", flat=True)[:LOGS])


def _take_away(job_id: int) -> None:
    for table in (LogChunk, LogBlock):
        while rows := list(table.objects.filter(job=job_id).order_by("position").values_list("pk", flat=True)[:ROWS]):
            table.objects.filter(pk__in=rows).delete()
    Job.objects.filter(pk=job_id).update(log_stored=0)
