"""What a worker writes down about steps and jobs: each under the fence, each told to whoever watches."""

from __future__ import annotations

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


def move(lease: Lease, step: JobStep, state: StepState, **values: Any) -> None:
    """Put a step into a state. Raises ``LeaseLost`` for a stale worker."""
    now = timezone.now()
    if state == StepState.RUNNING and step.started_at is None:
        values["started_at"] = now
    if state not in (StepState.PENDING, StepState.RUNNING, StepState.UNREACHABLE):
        values["ended_at"] = now
    with fenced(lease):
        JobStep.objects.filter(pk=step.pk).update(state=state, **values)
        for name, value in {"state": state, **values}.items():
            setattr(step, name, value)
        announce(
            f"job:{lease.job_id}",
            "step",
            step=step.pk,
            key=step.key,
            state=state,
            machine=step.machine.name,
            failure=step.failure,
        )
        if state == StepState.RUNNING and step.action["type"] == "run" and "started_at" in values:
            audit(
                "run.start", f"machine:{step.machine.name}", actor=f"job:{lease.job_id}", command=step.action["command"]
            )


def end(lease: Lease, state: JobState, failure: JobFailed | None = None, traceback: str = "") -> None:
    """Put the job into an end state, free its machines, wake those who waited for them."""
    said = {} if failure is None else {"code": failure.code, "cause": failure.cause, "mend": failure.mend}
    with fenced(lease):
        Job.objects.filter(pk=lease.job_id).update(
            state=state, failure=said, traceback=traceback, ended_at=timezone.now(), lease_owner="", lease_until=None
        )
        waiters = list(Job.objects.filter(pk__in=release(lease.job_id)).values_list("pk", "queue"))
        audit(f"job.{state.value}", f"job:{lease.job_id}", **said)
        announce(f"job:{lease.job_id}", "job", state=state, failure=said)
        announce("fleet", "job", job=lease.job_id, state=state)
        for job_id, queue in waiters:
            transaction.on_commit(partial(wake, job_id, queue))
