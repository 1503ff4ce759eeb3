"""What people do with a job that is there: cancel, pause, resume."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from hardware.events import audit
from jobs.approvals.asking import withdraw
from jobs.engine.dispatch import wake
from jobs.engine.locks import release, wake_waiters
from jobs.failures import PlanRefused
from jobs.models import Job, JobStep
from jobs.secrets import services as secrets
from jobs.states import DONE_STEPS, IDLE, UNSTARTED, JobState, StepState
from jobs.transitions import change


def cancel(job: Job, *, actor: str, reason: dict[str, str] | None = None) -> bool:
    """Ask a job to stop; ``False`` when it had ended. One that no worker has ends at once.

    ``reason`` (code, cause, mend) is kept as the job's failure when it never began: why it did not.
    """
    said = reason or {}
    with transaction.atomic():
        asked = change(
            job.pk,
            JobState.CANCELLED,
            among=(*UNSTARTED, *IDLE),
            actor=actor,
            reason=said,
            ended_at=timezone.now(),
            waits_for=None,
            waits_on={},
            wake_at=None,
            failure=said,
        )
        if asked:
            secrets.forget(job.pk)
            withdraw(job, actor=actor)
            release(job.pk)
        else:
            asked = change(
                job.pk, JobState.CANCELLING, among=(JobState.RUNNING, JobState.PAUSING), actor=actor, reason=said
            )
        if asked:
            job.refresh_from_db()
            audit("job.cancel", f"job:{job.pk}", actor=actor, **said)
    return asked


def pause(job: Job, *, actor: str, before: str = "") -> bool:
    """Ask a job to pause: before the next step of each machine, or before the steps with the key ``before``.

    What runs is finished first. ``False`` when it is paused already, or over. Raises ``PlanRefused`` when no step of
    that key is still to come.
    """
    with transaction.atomic():
        if before:
            return _hold(job, before, actor)
        asked = change(job.pk, JobState.PAUSING, among=(JobState.RUNNING,), actor=actor)
        if not asked:
            asked = change(
                job.pk,
                JobState.PAUSED,
                among=UNSTARTED,
                actor=actor,
                waits_for=None,
                waits_on={},
                wake_at=None,
                paused_at=timezone.now(),
            )
            # Those behind it in line may pass.
            wake_waiters(job.pk)
        if asked:
            audit("job.pause", f"job:{job.pk}", actor=actor)
            job.refresh_from_db()
    return asked


def _hold(job: Job, key: str, actor: str) -> bool:
    steps = JobStep.objects.filter(job=job, key=key, compensates=False, state=StepState.PENDING)
    if job.ended or not steps.update(held=True):
        raise PlanRefused(
            "step-not-open",
            f"Job {job.pk} has no step {key} that is still to come.",
            "Choose a step that has not begun.",
            "before",
        )
    audit("job.pause", f"job:{job.pk}", actor=actor, before=key)
    return True


def resume(job: Job, *, actor: str) -> bool:
    """Let a paused job go on, with the steps that it stands before; ``False`` when it is neither paused nor pausing."""
    now = timezone.now()
    with transaction.atomic():
        if change(job.pk, JobState.RUNNING, among=(JobState.PAUSING,), actor=actor):
            resumed = True
        else:
            paused_at = Job.objects.values_list("paused_at", flat=True).get(pk=job.pk)
            # The time for the whole job stood still meanwhile.
            later: dict[str, Any] = {"deadline": F("deadline") + (now - paused_at)} if paused_at else {}
            resumed = change(job.pk, JobState.QUEUED, among=(JobState.PAUSED,), actor=actor, paused_at=None, **later)
            if resumed:
                JobStep.objects.filter(pk__in=_standing_before(job.pk)).update(held=False)
                transaction.on_commit(lambda: wake(job.pk, job.queue))
        if resumed:
            audit("job.resume", f"job:{job.pk}", actor=actor)
            job.refresh_from_db()
    return resumed


def _standing_before(job_id: int) -> list[int]:
    """The first open step of each lane of the stage that the job is in."""
    steps = JobStep.objects.filter(job=job_id, compensates=False).order_by("stage", "lane", "position")
    first: dict[int, int] = {}
    current: int | None = None
    for pk, stage, lane, state in steps.values_list("pk", "stage", "lane", "state"):
        if state != StepState.PENDING and state not in DONE_STEPS:
            continue
        if state == StepState.PENDING and (current is None or stage == current):
            current = stage
            first.setdefault(lane, pk)
    return list(first.values())
