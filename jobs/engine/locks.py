"""One mutating job per machine. A job locks all its machines in one transaction, or none: no deadlock can arise."""

from __future__ import annotations

from functools import partial

from django.db import transaction

from hardware.statements import Prepared
from jobs.admission.limits import to_wake
from jobs.admission.obstacle import Obstacle
from jobs.engine.dispatch import wake
from jobs.models import Job, MachineLock

# A waiting job names no more of them.
NAMED = 5

_LOCKS = Prepared(MachineLock, lambda locks, job_id: locks.filter(job=job_id), int)
_WAITERS = Prepared(
    Job,
    lambda jobs, job_id: jobs.filter(waits_for=job_id).order_by("-priority", "id").values_list("pk", "queue"),
    int,
)


def acquire(job: Job) -> Obstacle | None:
    """Lock every machine of the job, or say which job holds one. Call inside a transaction."""
    machines = sorted(job.machines.values_list("pk", flat=True))
    others = MachineLock.objects.filter(machine__in=machines).exclude(job=job).order_by("machine")
    held = list(others.values_list("job", "machine__name")[:NAMED])
    if held:
        holder = held[0][0]
        return Obstacle("machine", job=holder, values={"machines": [name for other, name in held if other == holder]})
    mine = set(MachineLock.objects.filter(job=job).values_list("machine", flat=True))
    MachineLock.objects.bulk_create([MachineLock(machine_id=pk, job=job) for pk in machines if pk not in mine])
    return None


def release(job_id: int) -> None:
    """Free the job's machines; who waited for the job is woken after the commit. Call inside a transaction."""
    _LOCKS.delete(job_id)
    wake_waiters(job_id)


def wake_waiters(job_id: int) -> None:
    """After the commit, wake those who wait for the job, the first in line first."""
    for waiter, queue in dict([*to_wake(job_id), *_WAITERS.rows(job_id)]).items():
        transaction.on_commit(partial(wake, waiter, queue))
