"""How long a step may take: from its start by the database's clock, however many workers had it since."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Now

from hardware.database import on_db_until_done
from jobs.failures import JobFailed
from jobs.models import JobStep
from jobs.options import Options

T = TypeVar("T")


def limit(row: JobStep, planned: float | None) -> float | None:
    """What the job's options say in seconds, else what the plan says."""
    return Options.from_json(row.job.options).step_timeout_s or planned


async def left(row: JobStep, planned: float) -> float:
    """Seconds that the step has left of its limit, or of those planned; 0 when its time is over."""
    return max(0.0, (limit(row, planned) or planned) - await age(row))


async def age(row: JobStep) -> float:
    """Seconds since the step began, whichever worker began it."""
    # Who began it need not ask.
    return await on_db_until_done(_age, row.pk) if row.began_here is None else time.monotonic() - row.began_here


async def within(row: JobStep, where: str, work: Coroutine[Any, Any, T]) -> T:
    """What ``work`` gives, where the options limit the step: in the time that is left. Raises ``JobFailed``."""
    seconds = limit(row, None)
    if seconds is None:
        return await work
    try:
        async with asyncio.timeout(await left(row, seconds)):
            return await work
    except TimeoutError as wrong:
        raise too_late(where, row, seconds) from wrong


def too_late(where: str, row: JobStep, planned: float) -> JobFailed:
    return JobFailed(
        "command-timeout",
        f"{where}: {row.title} was stopped: it took longer than the {limit(row, planned):g} s it may.",
        "See in its log what it waited for, then run the job again.",
    )


def _age(step: int) -> float:
    age = ExpressionWrapper(Now() - F("started_at"), output_field=DurationField())
    found = JobStep.objects.filter(pk=step, started_at__isnull=False).values_list(age, flat=True).first()
    return found.total_seconds() if found is not None else 0.0
