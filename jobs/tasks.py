"""Celery's side of jobs. Tasks return at once; the work goes on in the worker's event loop."""

from __future__ import annotations

from celery import shared_task

from jobs.dispatch import reconcile
from jobs.loop import submit


@shared_task(name="jobs.run")
def run(job_id: int) -> None:
    """Take the job if nobody has it."""
    submit(job_id)


@shared_task(name="jobs.reconcile")
def reconcile_jobs() -> int:
    """Find jobs whose worker died or whose wake-up was lost."""
    return len(reconcile())
