"""Asking for an approval, deciding, and letting it lapse when the plan would no longer be the same."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from django.db import transaction
from django.utils import timezone

from hardware.events import audit
from hardware.inventory.models import Machine
from jobs import control, registry
from jobs.approvals.asking import State, person_behind, put
from jobs.approvals.difference import Difference, differences
from jobs.approvals.failures import NotWaiting, OtherPlan, OwnProposal, PlanChanged
from jobs.approvals.models import Approval
from jobs.engine import checkpoints
from jobs.engine.dispatch import wake
from jobs.engine.leases import Lease, fenced
from jobs.failures import JobFailed, PlanRefused
from jobs.models import Job
from jobs.pipelines.services import carry_on
from jobs.plan import Plan, plan_hash
from jobs.retry import request_of
from jobs.services import check_preflight, launch, plan_again
from jobs.states import JobState
from jobs.transitions import change

NAMED = 3


def approve(approval: Approval, *, actor: str, comment: str = "", seen_hash: str = "") -> Approval:
    """Sign the plan's hash and put the job in line. Doing it again changes nothing.

    ``seen_hash`` is that of the plan which the person looked at. Raises ``OwnProposal``, ``NotWaiting``, ``OtherPlan``,
    ``PlanRefused`` when preflight blocks a machine now, and ``PlanChanged`` after the approval has lapsed.
    """
    job = approval.job
    if approval.state == State.APPROVED and approval.decided_by == actor:
        return approval
    _check_person(approval, actor)
    if seen_hash and seen_hash != job.plan_hash:
        raise OtherPlan(
            "plan-mismatch",
            f"The plan of job {job.pk} is not the one with the hash {seen_hash[:12]}.",
            "Look at the plan that waits, then decide.",
        )
    try:
        made, clean, machines = planned_now(job)
        differs = _differ(job, made)
    except PlanRefused as refused:
        differs = [_whole(job, refused.cause)]
    if differs:
        lapse(approval, differs, actor=actor)
        raise PlanChanged(*_said(differs), differs)
    check_preflight(registry.get(job.kind), clean, machines)
    with transaction.atomic():
        _hold(job)
        _decide(approval, State.APPROVED, actor, comment, plan_hash=job.plan_hash)
        change(job.pk, JobState.QUEUED, among=(JobState.PROPOSED,), actor=actor, reason={"plan": job.plan_hash})
        transaction.on_commit(partial(wake, job.pk, job.queue))
    return approval


def reject(approval: Approval, *, actor: str, comment: str = "") -> Approval:
    """End the job unrun. Doing it again changes nothing. Raises ``OwnProposal`` and ``NotWaiting``."""
    if approval.state == State.REJECTED and approval.decided_by == actor:
        return approval
    _check_person(approval, actor)
    why = f"{actor} did not approve it{f': {comment}' if comment else '.'}"
    with transaction.atomic():
        _hold(approval.job)
        _decide(approval, State.REJECTED, actor, comment)
        control.cancel(
            approval.job, actor=actor, reason=JobFailed("approval-rejected", why, "Ask for another plan.").to_json()
        )
    return approval


def ask_again(approval: Approval, *, actor: str, params: dict[str, Any] | None = None, once: str = "") -> Job:
    """The same request anew, with the plan as it is now: a new proposal. ``params`` are its secrets, if it had some."""
    wanted = request_of(approval.job, "all", params)
    arrange = carry_on(approval.job, actor=actor)
    return launch(**wanted, actor=actor, retry_of=approval.job, propose=True, once=once, arrange=arrange)


def differences_now(job: Job) -> list[Difference]:
    """What would be different if the job were planned now, or why it can't be; empty when nothing would be."""
    try:
        made, _, _ = planned_now(job)
    except PlanRefused as refused:
        return [_whole(job, refused.cause)]
    return _differ(job, made)


def planned_now(job: Job) -> tuple[Plan, dict[str, Any], list[Machine]]:
    """The plan that the same request gives now, with its parameters and machines. Raises ``PlanRefused``."""
    # Machines in the order in which they were named: it is part of the plan.
    order = [lane["machine"] for stage in job.plan["stages"] for lane in stage["lanes"]]
    places = {name: place for place, name in reversed(list(enumerate(order)))}
    machines = sorted(job.machines.all(), key=lambda machine: places.get(machine.name, len(order)))
    made, clean = plan_again(job, machines)
    return made, clean, machines


def _differ(job: Job, made: Plan) -> list[Difference]:
    if plan_hash(job.plan) != job.plan_hash:
        return [_whole(job, "the plan that is stored has another hash")]
    if made.hash == job.plan_hash:
        return []
    return differences(job.plan, made.to_json()) or [_whole(job, made.hash)]


def lapse(approval: Approval, differs: list[Difference], *, actor: str = "console") -> None:
    """End a job that nobody works on, because its plan would no longer be the one that was asked for."""
    with transaction.atomic():
        _hold(approval.job)
        if _lapse(approval, differs, actor):
            control.cancel(approval.job, actor=actor, reason=JobFailed(*_said(differs)).to_json())


def still_holds(lease: Lease, job: Job) -> bool:
    """Whether a job that is about to begin may: what was approved is what would run now. Else it is ended here.

    True for one that nobody had to approve. Raises ``LeaseLost`` for a stale worker.
    """
    approval: Approval | None = getattr(job, "approval", None)
    if approval is None:
        return True
    differs = differences_now(job)
    if approval.state == State.APPROVED and approval.plan_hash == job.plan_hash and not differs:
        return True
    differs = differs or [_whole(job, "nobody approved this plan")]
    with fenced(lease):
        _lapse(approval, differs, "console")
        checkpoints.end(lease, JobState.CANCELLED, JobFailed(*_said(differs)))
    return False


def _hold(job: Job) -> None:
    """The job's row first, as everything else does that changes both: two that meet wait, and do not deadlock."""
    Job.objects.select_for_update(no_key=True).only("pk").get(pk=job.pk)


def _check_person(approval: Approval, actor: str) -> None:
    if approval.state != State.WAITING:
        raise NotWaiting(
            "approval-decided",
            f"Job {approval.job_id} no longer waits for an approval: it is {approval.state}.",
            "Look at the job.",
        )
    if actor in (approval.asked_by, person_behind(approval.job.created_by)):
        raise OwnProposal(
            "approval-own",
            f"{actor} asked for job {approval.job_id}: another person has to decide.",
            "Ask somebody else to look at the plan; you can withdraw it by cancelling the job.",
        )


def _decide(approval: Approval, state: str, actor: str, comment: str, **more: Any) -> None:
    now = timezone.now()
    if not put(approval, state, decided_by=actor, decided_at=now, comment=comment, **more):
        raise NotWaiting(
            "approval-decided",
            f"Somebody else decided on job {approval.job_id} first: it is {approval.state}.",
            "Look at the job.",
        )
    done = {State.APPROVED: "approval.approve", State.REJECTED: "approval.reject"}[State(state)]
    audit(done, f"job:{approval.job_id}", actor=actor, plan=approval.job.plan_hash, comment=comment)


def _lapse(approval: Approval, differs: list[Difference], actor: str) -> bool:
    done = put(approval, State.LAPSED, (State.WAITING, State.APPROVED), lapsed_at=timezone.now(), differs=differs)
    if done:
        audit("approval.lapse", f"job:{approval.job_id}", actor=actor, differs=differs[:50], count=len(differs))
    return done


def _whole(job: Job, now: str) -> Difference:
    return {"machine": "", "step": "", "field": "plan", "before": job.plan_hash, "after": now}


def _said(differs: Sequence[Difference]) -> tuple[str, str, str]:
    """Code, cause and mend of a lapse; the cause names the first differences."""
    named = [
        " ".join(filter(None, [f"{one['machine']}:" if one["machine"] else "", one["step"], one["field"]]))
        for one in differs[:NAMED]
    ]
    more = f" and {len(differs) - NAMED} more" if len(differs) > NAMED else ""
    if [one["field"] for one in differs] == ["plan"]:
        named = [str(differs[0]["after"]).rstrip(".")]
    return (
        "plan-changed",
        f"The plan is no longer the one that was asked for: {'; '.join(named)}{more}.",
        "Look at what is different, then ask again.",
    )
