"""Celery's side of schedules: what beat wakes us with."""

from __future__ import annotations

from celery import shared_task

from jobs.schedules import firing
from jobs.schedules.beat import TASK


@shared_task(name=TASK)
def fire(schedule_id: int) -> None:
    """One of the schedule's times may have come."""
    firing.fire(schedule_id)


@shared_task(name="jobs.schedules.sweep")
def sweep() -> int:
    """Fire what no wake-up came for."""
    return len(firing.sweep())
