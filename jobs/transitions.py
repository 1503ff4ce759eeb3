"""Moving a job from state to state: conditional, recorded with who and when, told to whoever watches.

Nothing else writes ``Job.state``. The moves that there are stand in ``jobs.states``.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db import transaction

from hardware.events import announce
from hardware.statements import Prepared, insert
from jobs.models import Job, JobTransition
from jobs.states import JobState

_SEEN = Prepared(Job, lambda jobs, job_id: jobs.filter(pk=job_id).values_list("state", "attempt", "lease_owner"), int)
_STILL = Prepared(
    Job,
    lambda jobs, job_id, state, attempt, owner: jobs.filter(pk=job_id, state=state, attempt=attempt, lease_owner=owner),
    int,
    str,
    int,
    str,
)


def change(
    job_id: int,
    to: JobState,
    *,
    among: Collection[str],
    actor: str,
    reason: dict[str, Any] | None = None,
    holder: tuple[int, str] | None = None,
    **values: Any,
) -> bool:
    """Put a job that is in one of the states ``among`` into ``to``; ``False`` when it is in none of them.

    ``values`` are written with it. ``actor`` is a user's name, ``worker:NAME``, ``schedule:ID`` or ``console``;
    ``reason`` is JSON. With ``holder`` only while this attempt of this worker has the job. Part of the caller's
    transaction, if there is one.
    """
    with transaction.atomic(savepoint=False):
        while (seen := _SEEN.rows(job_id)) and seen[0][0] in among:
            was, attempt, owner = seen[0]
            if holder not in (None, (attempt, owner)):
                return False
            if _STILL.update(job_id, was, attempt, owner, state=to, **values):
                record(job_id, was, to, actor=actor, attempt=attempt, reason=reason)
                return True
    return False


def record(
    job_id: int, was: str, to: JobState, *, actor: str, attempt: int = 0, reason: dict[str, Any] | None = None
) -> None:
    """Write down a move that was made, and tell it. Call inside the transaction that makes it."""
    insert(JobTransition, job_id=job_id, from_state=was, to_state=to, actor=actor, attempt=attempt, reason=reason or {})
    announce(f"job:{job_id}", "job", state=to, was=was, reason=reason or {}, attempt=attempt)
    announce("fleet", "job", job=job_id, state=to)
