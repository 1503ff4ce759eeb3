"""Who may work on a job: conditional updates, never select-then-save.

Leases are reckoned by the database's clock: it is one for all workers, however wrong their own clocks are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.db.models.expressions import Combinable
from django.db.models.functions import Now
from django.utils import timezone

from hardware.statements import Prepared
from jobs.admission.obstacle import Obstacle
from jobs.admission.rules import obstacle
from jobs.failures import LeaseLost
from jobs.locks import acquire
from jobs.models import Job
from jobs.options import Options
from jobs.states import HELD, UNSTARTED, JobState
from jobs.transitions import record

# No worker is set to hold one for longer: a lease that goes beyond was made before the database's clock was set back.
LONGEST_LEASE_SECONDS = 600
# So often another worker may be quicker; what is refused once more has another reason, and is raised.
CONTENTIONS = 20
# A waiting job is looked at again at least so often: what it waits for may have been taken away.
LOOK_AGAIN_SECONDS = 60
# Jobs in one statement.
RENEWED_TOGETHER = 500


@dataclass(frozen=True)
class Lease:
    """The right to write to a job, until another worker takes it over."""

    job_id: int
    owner: str
    attempt: int


def unheld() -> Q:
    """Jobs that nobody works on: not begun, or their worker's lease ran out."""
    return Q(state__in=UNSTARTED) | abandoned()


def abandoned() -> Q:
    """Jobs whose worker's lease ran out."""
    beyond = Now() + timedelta(seconds=LONGEST_LEASE_SECONDS)
    return Q(state__in=HELD) & (Q(lease_until__lt=Now()) | Q(lease_until__gt=beyond))


def _until() -> Combinable:
    return Now() + timedelta(seconds=settings.LEASE_SECONDS)


ONE = Prepared(Job, lambda jobs, job_id: jobs.filter(pk=job_id), int)


@dataclass(frozen=True)
class _Statements:
    """What writes a lease of so many seconds: to a job that is free, to one that is held."""

    free: Prepared[Job]
    mine: Prepared[Job]


@lru_cache(maxsize=8)
def _leasing(seconds: int) -> _Statements:
    until = Now() + timedelta(seconds=seconds)
    return _Statements(
        Prepared(
            Job,
            lambda jobs, job_id: jobs.filter(unheld(), pk=job_id),
            int,
            always=lambda: {"attempt": F("attempt") + 1, "lease_until": until},
        ),
        Prepared(
            Job,
            lambda jobs, job_id, attempt, owner: jobs.filter(
                pk=job_id, attempt=attempt, lease_owner=owner, state__in=HELD
            ),
            int,
            int,
            str,
            always=lambda: {"lease_until": until},
        ),
    )


def claim(job_id: int, owner: str) -> Lease | None:
    """Take a job that nobody holds, or whose holder's lease ran out; ``None`` when there is nothing to take.

    A job that something stands in the way of waits, and says for what. A mutating job takes the locks of all its
    machines in the same transaction, or none of them.
    """
    for _ in range(CONTENTIONS):
        # Another worker may lock a machine between our look and our lock: then there is a holder to wait for.
        with suppress(IntegrityError):
            return _claim(job_id, owner)
    return _claim(job_id, owner)


def _claim(job_id: int, owner: str) -> Lease | None:
    with transaction.atomic():
        if not _leasing(settings.LEASE_SECONDS).free.update(job_id, lease_owner=owner):
            return None
        job = ONE.objects(job_id)[0]
        # One that had begun goes on: the rules are about beginning.
        hindrance = obstacle(job) if job.started_at is None else None
        if hindrance is None and job.mutates:
            hindrance = acquire(job)
        if hindrance is not None:
            _wait(job, hindrance)
            return None
        begun = job.state in HELD
        state = JobState(job.state) if begun else JobState.RUNNING
        first = {} if job.started_at else {"started_at": timezone.now(), "deadline": _deadline(job)}
        ONE.update(job_id, state=state, waits_for=None, waits_on={}, wake_at=None, **first)
        why = {"took_over": True} if begun else {}
        record(job_id, job.state, state, actor=f"worker:{owner}", attempt=job.attempt, reason=why)
        return Lease(job_id, owner, job.attempt)


def _deadline(job: Job) -> Combinable | None:
    seconds = Options.from_json(job.options).timeout_s
    return None if seconds is None else Now() + timedelta(seconds=seconds)


def _wait(job: Job, hindrance: Obstacle) -> None:
    said = hindrance.to_json()
    latest = timezone.now() + timedelta(seconds=LOOK_AGAIN_SECONDS)
    Job.objects.filter(pk=job.pk).update(
        state=JobState.WAITING,
        waits_for=hindrance.job,
        waits_on=said,
        wake_at=min(hindrance.until or latest, latest),
        lease_owner="",
        lease_until=None,
        attempt=F("attempt") - 1,
    )
    if (job.state, job.waits_for_id, job.waits_on) != (JobState.WAITING, hindrance.job, said):
        why = {**said, "job": hindrance.job}
        record(job.pk, job.state, JobState.WAITING, actor="console", attempt=job.attempt - 1, reason=why)


@contextmanager
def fenced(lease: Lease) -> Iterator[None]:
    """A transaction whose writes count only while the lease is ours; it renews the lease.

    Raises ``LeaseLost`` before anything is written when another worker has taken the job.
    """
    with transaction.atomic():
        if not _leasing(settings.LEASE_SECONDS).mine.update(lease.job_id, lease.attempt, lease.owner):
            raise LeaseLost(f"job {lease.job_id}: attempt {lease.attempt} is no longer the current one")
        yield


def give_up_leases(owner: str) -> None:
    """End the leases of a worker that has stopped: its jobs may be taken over now.

    They are nobody's from then on: a write of its own that was still under way would make the lease last again.
    """
    Job.objects.filter(lease_owner=owner, state__in=HELD).update(lease_owner="", lease_until=Now())


def renew(owner: str, leases: Collection[Lease]) -> dict[int, tuple[JobState, bool]]:
    """Keep the leases of one worker: id of each job that is still its own -> state, and whether its time is over."""
    attempts = {lease.job_id: lease.attempt for lease in leases}
    kept = {}
    with transaction.atomic():
        for some in _some_at_a_time(list(attempts)):
            mine = Job.objects.filter(pk__in=some, lease_owner=owner, state__in=HELD)
            mine.update(lease_until=_until())
            late = Q(deadline__isnull=False, deadline__lt=Now())
            rows = mine.annotate(late=late).values_list("pk", "attempt", "state", "late")
            for job_id, attempt, state, is_late in rows:
                if attempts[job_id] == attempt:
                    kept[job_id] = (JobState(state), is_late)
    return kept


def _some_at_a_time(ids: list[int]) -> Iterator[list[int]]:
    return (ids[first : first + RENEWED_TOGETHER] for first in range(0, len(ids), RENEWED_TOGETHER))
