"""Waking workers up. A lost wake-up only delays: the reconciler finds what nobody works on."""

from __future__ import annotations

import logging

from celery import current_app
from kombu.exceptions import OperationalError

from jobs.leases import unheld
from jobs.models import Job

log = logging.getLogger(__name__)


def wake(job_id: int, queue: str) -> None:
    """Tell a worker of the queue that there is a job. Never fails: without a broker the reconciler does it later."""
    try:
        current_app.send_task("jobs.run", args=[job_id], queue=queue, retry=False)
    except (OperationalError, OSError) as wrong:
        log.warning("job %s: no worker was told (%s); the reconciler will", job_id, wrong)


def reconcile() -> list[int]:
    """Wake workers for every job that nobody works on; returns their ids."""
    found = list(Job.objects.filter(unheld()).order_by("pk").values_list("pk", "queue"))
    for job_id, queue in found:
        wake(job_id, queue)
    return [job_id for job_id, _ in found]
