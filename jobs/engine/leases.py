"""Who may work on a job: conditional updates, never select-then-save.

Leases are reckoned by the database's clock: it is one for all workers, however wrong their own clocks are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.expressions import Combinable
from django.db.models.functions import Now
from django.utils import timezone

from hardware.statements import Prepared
from jobs.admission.obstacle import Obstacle
from jobs.admission.rules import obstacle
from jobs.engine.locks import acquire
from jobs.failures import LeaseLost
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
# Held until the transaction ends where the database locks rows; SQLite lets nobody else write meanwhile anyway. Not its
# key: who waits for this job may say so meanwhile.
_UNHELD = Prepared(Job, lambda jobs, job_id: jobs.filter(unheld(), pk=job_id).select_for_update(no_key=True), int)


@dataclass(frozen=True)
class _Statements:
    """What writes a lease of so many seconds: to a job as it was seen, to one that is held."""

    seen: Prepared[Job]
    mine: Prepared[Job]


@lru_cache(maxsize=8)
def _leasing(seconds: int) -> _Statements:
    until = Now() + timedelta(seconds=seconds)
    return _Statements(
        Prepared(
            Job,
            lambda jobs, job_id, attempt: jobs.filter(pk=job_id, attempt=attempt),
            int,
            int,
            always=lambda: {"lease_until": until},
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


def claim(job_id: int, owner: str) -> tuple[Lease, Job] | None:
    """Take a job that nobody holds, or whose holder's lease ran out; ``None`` when there is nothing to take.

    A job that something stands in the way of waits, and says for what. A mutating job takes the locks of all its
    machines in the same transaction, or none of them. The job is as it is stored then, but for ``lease_until``.
    """
    with transaction.atomic(savepoint=False):
        found = _UNHELD.objects(job_id)
        if not found:
            return None
        job = found[0]
        hindrance = _hindrance(job)
        if hindrance is not None:
            _wait(job, hindrance)
            return None
        return _begin(job, owner)


def _hindrance(job: Job) -> Obstacle | None:
    """What is in the job's way; else its machines are locked."""
    for _ in range(CONTENTIONS):
        # Another worker may lock a machine between our look and our lock: then there is a holder to wait for.
        with suppress(IntegrityError):
            return _look_and_lock(job)
    return _look_and_lock(job)


def _look_and_lock(job: Job) -> Obstacle | None:
    # One that had begun goes on: the rules are about beginning.
    found = obstacle(job) if job.started_at is None else None
    if found is not None or not job.mutates:
        return found
    with transaction.atomic():
        return acquire(job)


def _begin(job: Job, owner: str) -> tuple[Lease, Job]:
    was, lease = job.state, Lease(job.pk, owner, job.attempt + 1)
    state = JobState(was) if was in HELD else JobState.RUNNING
    written: dict[str, Any] = {
        "state": state,
        "attempt": lease.attempt,
        "lease_owner": owner,
        "waits_for_id": None,
        "waits_on": {},
        "wake_at": None,
    }
    if job.started_at is None:
        written |= {"started_at": timezone.now(), "deadline": _deadline(job)}
    if not _leasing(settings.LEASE_SECONDS).seen.update(job.pk, job.attempt, **written):
        raise lost(lease)
    why = {"took_over": True} if was in HELD else {}
    record(job.pk, was, state, actor=f"worker:{owner}", attempt=lease.attempt, reason=why)
    if written.get("deadline") is not None:
        # Only the database's clock knows it.
        return lease, ONE.objects(job.pk)[0]
    for name, value in written.items():
        setattr(job, name, value)
    return lease, job


def _deadline(job: Job) -> Combinable | None:
    seconds = Options.from_json(job.options).timeout_s
    return None if seconds is None else Now() + timedelta(seconds=seconds)


def _wait(job: Job, hindrance: Obstacle) -> None:
    said = hindrance.to_json()
    latest = timezone.now() + timedelta(seconds=LOOK_AGAIN_SECONDS)
    waits = Job.objects.filter(pk=job.pk, state=job.state, attempt=job.attempt).update(
        state=JobState.WAITING,
        waits_for=hindrance.job,
        waits_on=said,
        wake_at=min(hindrance.until or latest, latest),
        lease_owner="",
        lease_until=None,
    )
    if waits and (job.state, job.waits_for_id, job.waits_on) != (JobState.WAITING, hindrance.job, said):
        why = {**said, "job": hindrance.job}
        record(job.pk, job.state, JobState.WAITING, actor="console", attempt=job.attempt, reason=why)


@contextmanager
def fenced(lease: Lease) -> Iterator[None]:
    """A transaction whose writes count only while the lease is ours; it renews the lease.

    Raises ``LeaseLost`` before anything is written when another worker has taken the job. An outer transaction has to
    end with it, as it has no savepoint of its own.
    """
    with transaction.atomic(savepoint=False):
        if not _leasing(settings.LEASE_SECONDS).mine.update(lease.job_id, lease.attempt, lease.owner):
            raise lost(lease)
        yield


def lost(lease: Lease) -> LeaseLost:
    return LeaseLost(f"job {lease.job_id}: attempt {lease.attempt} is no longer the current one")


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
