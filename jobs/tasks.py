"""Celery's side of jobs. Tasks return at once; the work goes on in the worker's event loop."""

from __future__ import annotations

from celery import shared_task

from jobs.engine.loop import submit
from jobs.engine.reconciler import reconcile


@shared_task(name="jobs.run")
def run(job_ids: list[int]) -> None:
    """Take those of the jobs that nobody has."""
    submit(job_ids)


@shared_task(name="jobs.reconcile")
def reconcile_jobs() -> int:
    """Find jobs whose worker died or whose wake-up was lost."""
    return len(reconcile())
