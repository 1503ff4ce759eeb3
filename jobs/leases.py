"""Who may work on a job: conditional updates, never select-then-save.

Leases are reckoned by the database's clock: it is one for all workers, however wrong their own clocks are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.db.models.expressions import Combinable
from django.db.models.functions import Now
from django.utils import timezone

from hardware.events import announce
from jobs.failures import LeaseLost
from jobs.locks import acquire
from jobs.models import Job
from jobs.states import HELD, UNSTARTED, JobState

# No worker is set to hold one for longer: a lease that goes beyond was made before the database's clock was set back.
LONGEST_LEASE_SECONDS = 600


@dataclass(frozen=True)
class Lease:
    """The right to write to a job, until another worker takes it over."""

    job_id: int
    owner: str
    attempt: int


def unheld() -> Q:
    """Jobs that nobody works on: not begun, or their worker's lease ran out."""
    beyond = Now() + timedelta(seconds=LONGEST_LEASE_SECONDS)
    ran_out = Q(lease_until__lt=Now()) | Q(lease_until__gt=beyond)
    return Q(state__in=UNSTARTED) | Q(state__in=HELD) & ran_out


def _until() -> Combinable:
    return Now() + timedelta(seconds=settings.LEASE_SECONDS)


def claim(job_id: int, owner: str) -> Lease | None:
    """Take a job that nobody holds, or whose holder's lease ran out; ``None`` when there is nothing to take.

    A mutating job takes the locks of all its machines in the same transaction, or none of them: then it waits, and says
    for which job.
    """
    now = timezone.now()
    with transaction.atomic():
        claimed = Job.objects.filter(unheld(), pk=job_id).update(
            attempt=F("attempt") + 1, lease_owner=owner, lease_until=_until()
        )
        if not claimed:
            return None
        job = Job.objects.get(pk=job_id)
        holder = acquire(job) if job.mutates else None
        if holder is not None:
            Job.objects.filter(pk=job_id).update(
                state=JobState.WAITING, waits_for=holder, lease_owner="", lease_until=None, attempt=F("attempt") - 1
            )
            announce(f"job:{job_id}", "job", state=JobState.WAITING, waits_for=holder)
            return None
        state = job.state if job.state == JobState.CANCELLING else JobState.RUNNING
        Job.objects.filter(pk=job_id).update(state=state, waits_for=None, started_at=job.started_at or now)
        announce(f"job:{job_id}", "job", state=state, attempt=job.attempt)
        return Lease(job_id, owner, job.attempt)


@contextmanager
def fenced(lease: Lease) -> Iterator[None]:
    """A transaction whose writes count only while the lease is ours; it renews the lease.

    Raises ``LeaseLost`` before anything is written when another worker has taken the job.
    """
    with transaction.atomic():
        mine = Job.objects.filter(
            pk=lease.job_id, attempt=lease.attempt, lease_owner=lease.owner, state__in=HELD
        ).update(lease_until=_until())
        if not mine:
            raise LeaseLost(f"job {lease.job_id}: attempt {lease.attempt} is no longer the current one")
        yield


def give_up_leases(owner: str) -> None:
    """End the leases of a worker that has stopped: its jobs may be taken over now."""
    Job.objects.filter(lease_owner=owner, state__in=HELD).update(lease_until=Now())


def renew(lease: Lease) -> bool:
    """Keep the lease; ``True`` when the job was asked to stop."""
    with fenced(lease):
        return Job.objects.filter(pk=lease.job_id, state=JobState.CANCELLING).exists()
