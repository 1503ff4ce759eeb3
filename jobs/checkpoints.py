"""What a worker writes down about steps and jobs: each under the fence, each told to whoever watches."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.db import transaction
from django.utils import timezone

from hardware.events import announce, audit
from jobs.dispatch import wake
from jobs.failures import JobFailed
from jobs.leases import Lease, fenced
from jobs.locks import release
from jobs.models import Job, JobStep
from jobs.states import JobState, StepState


def move(lease: Lease, step: JobStep, state: StepState, then: Callable[[], None] | None = None, **values: Any) -> None:
    """Put a step into a state, and do ``then`` in the same transaction. Raises ``LeaseLost`` for a stale worker."""
    now = timezone.now()
    if state == StepState.RUNNING and step.started_at is None:
        values["started_at"] = now
    if state not in (StepState.PENDING, StepState.RUNNING, StepState.UNREACHABLE):
        values["ended_at"] = now
    with fenced(lease):
        JobStep.objects.filter(pk=step.pk).update(state=state, **values)
        announce(
            f"job:{lease.job_id}",
            "step",
            step=step.pk,
            key=step.key,
            state=state,
            machine=step.machine.name if step.machine else None,
            failure=values.get("failure", step.failure),
        )
        if state == StepState.RUNNING and "started_at" in values:
            _record_start(lease, step)
        if then is not None:
            then()
    # Not before the commit: a call that failed there is made again with the step as it was.
    for name, value in {"state": state, **values}.items():
        setattr(step, name, value)


def _record_start(lease: Lease, step: JobStep) -> None:
    """Every command is in the trail, whether it ran on a machine or here."""
    command = step.action.get("command") or step.action.get("arguments")
    if command:
        target = f"machine:{step.machine.name}" if step.machine else "console"
        audit("run.start", target, actor=f"job:{lease.job_id}", command=command)


def note_progress(lease: Lease, step: JobStep, share: float) -> None:
    """How much of a step is done, from 0 to 1."""
    with fenced(lease):
        JobStep.objects.filter(pk=step.pk).update(progress=share)
        announce(f"job:{lease.job_id}", "progress", step=step.pk, key=step.key, share=round(share, 4))


def end(
    lease: Lease,
    state: JobState,
    failure: JobFailed | None = None,
    traceback: str = "",
    result: dict[str, Any] | None = None,
) -> None:
    """Put the job into an end state, free its machines, wake those who waited for them."""
    said = {} if failure is None else {"code": failure.code, "cause": failure.cause, "mend": failure.mend}
    with fenced(lease):
        Job.objects.filter(pk=lease.job_id).update(
            state=state,
            failure=said,
            traceback=traceback,
            result=result or {},
            ended_at=timezone.now(),
            lease_owner="",
            lease_until=None,
        )
        waiters = list(Job.objects.filter(pk__in=release(lease.job_id)).values_list("pk", "queue"))
        audit(f"job.{state.value}", f"job:{lease.job_id}", **said)
        announce(f"job:{lease.job_id}", "job", state=state, failure=said)
        announce("fleet", "job", job=lease.job_id, state=state)
        for job_id, queue in waiters:
            transaction.on_commit(partial(wake, job_id, queue))
