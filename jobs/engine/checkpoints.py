"""What a worker writes down about steps and jobs: each under the fence, each told to whoever watches."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from hardware.events import announce, audit
from hardware.statements import Prepared
from jobs.engine.leases import Lease, fenced, lost
from jobs.engine.locks import release
from jobs.failures import JobFailed
from jobs.logs import packing
from jobs.models import JobStep
from jobs.secrets import services as secrets
from jobs.states import HELD, JobState, StepState
from jobs.transitions import change

# By the times that are written with it.
_STEP: dict[tuple[str, ...], Prepared[JobStep]] = {
    times: Prepared(
        JobStep,
        lambda steps, step_id: steps.filter(pk=step_id),
        int,
        always=partial(dict.fromkeys, times, Now()),
    )
    for times in ((), ("started_at",), ("ended_at",))
}
# Locked until the transaction ends, where the database locks rows.
_HELD = Prepared(
    JobStep, lambda steps, step_id: steps.filter(pk=step_id).select_for_update(no_key=True).values_list("held"), int
)


def move(lease: Lease, step: JobStep, state: StepState, then: Callable[[], None] | None = None, **values: Any) -> None:
    """Put a step into a state, and do ``then`` in the same transaction. Raises ``LeaseLost`` for a stale worker."""
    times: tuple[str, ...] = ()
    if state == StepState.RUNNING and step.started_at is None:
        times = ("started_at",)
    if state not in (StepState.PENDING, StepState.RUNNING, StepState.UNREACHABLE):
        times = ("ended_at",)
        if step.log_length is not None:
            values["log_length"] = step.log_length
    with fenced(lease):
        # By the database's clock, as leases: another worker reckons with it how long the step has taken.
        _STEP[times].update(step.pk, state=state, **values)
        announce(
            f"job:{lease.job_id}",
            "step",
            step=step.pk,
            key=step.key,
            state=state,
            machine=step.machine.name if step.machine else None,
            failure=values.get("failure", step.failure),
        )
        if "started_at" in times:
            _record_start(lease, step)
        if then is not None:
            then()
        if (values.get("log_length") or 0) >= packing.SHORT_BYTES:
            transaction.on_commit(partial(packing.pack_step_later, lease.job_id, step.pk))
    if "started_at" in times:
        step.began_here = time.monotonic()
    # Not before the commit: a call that failed there is made again with the step as it was.
    now = dict.fromkeys(times, timezone.now())
    transaction.on_commit(partial(_take_on, step, {"state": state, **values, **now}))


def _take_on(step: JobStep, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(step, name, value)


def begin(lease: Lease, step: JobStep) -> bool:
    """Put a step that has not begun into ``running``; ``False`` when a person wants the job to pause before it."""
    with transaction.atomic(savepoint=False):
        # Asked in the database: it may have been marked since the job was read, or be marked at this moment.
        if step.state == StepState.PENDING and _HELD.rows(step.pk)[0][0]:
            return False
        move(lease, step, StepState.RUNNING)
    return True


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
    log: dict[str, Any] | None = None,
) -> None:
    """Put the job into an end state, free its machines, wake those who waited for them.

    ``log`` is what ``packing.closing`` gave; without it the log is read here. Raises ``LeaseLost`` for a stale worker.
    """
    log = packing.closing(lease.job_id) if log is None else log
    said = {} if failure is None else failure.to_json()
    with transaction.atomic(savepoint=False):
        # The fence is in the move itself.
        ended = change(
            lease.job_id,
            state,
            among=HELD,
            actor=f"worker:{lease.owner}",
            reason=said,
            holder=(lease.attempt, lease.owner),
            failure=said,
            traceback=traceback,
            result=result or {},
            ended_at=timezone.now(),
            lease_owner="",
            lease_until=None,
            **log,
        )
        if not ended:
            raise lost(lease)
        secrets.forget(lease.job_id)
        if not log["log_packed"]:
            transaction.on_commit(partial(packing.close_later, lease.job_id))
        release(lease.job_id)
        audit(f"job.{state.value}", f"job:{lease.job_id}", **said)


def pause(lease: Lease, before: list[str]) -> bool:
    """Let go of a job that stands before steps with the keys ``before``; it keeps its machines.

    ``False`` when that is no longer wanted: it was asked to stop meanwhile, or to go on.
    """
    with fenced(lease):
        held = JobStep.objects.filter(job=lease.job_id, state=StepState.PENDING, held=True).exists()
        paused = change(
            lease.job_id,
            JobState.PAUSED,
            among=(JobState.RUNNING, JobState.PAUSING) if held else (JobState.PAUSING,),
            actor=f"worker:{lease.owner}",
            reason={"before": before},
            paused_at=timezone.now(),
            lease_owner="",
            lease_until=None,
        )
        if paused:
            audit("job.paused", f"job:{lease.job_id}", before=before)
        return paused
