"""The question whether a job may run: asked with the job, withdrawn with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.utils import timezone

from hardware.events import audit
from jobs.approvals.models import Approval
from jobs.models import Job

State = Approval.State


def ask(job: Job, rules: Sequence[str]) -> Approval:
    """A proposed job waits for its approval. Call in the transaction that stores it; ``rules`` are those that ask."""
    approval = Approval.objects.create(job=job, asked_by=person_behind(job.created_by), rules=list(rules))
    audit("approval.ask", f"job:{job.pk}", actor=job.created_by, plan=job.plan_hash, rules=list(rules))
    return approval


def withdraw(job: Job, *, actor: str) -> None:
    """The proposal was cancelled before anybody had decided. Call in the transaction that cancels the job."""
    found = Approval.objects.filter(job=job, state=State.WAITING).first()
    if found is not None and put(found, State.WITHDRAWN, decided_by=actor, decided_at=timezone.now()):
        audit("approval.withdraw", f"job:{job.pk}", actor=actor)


def person_behind(actor: str) -> str:
    """Who stands behind what asked: who set a schedule's request last, else the person itself."""
    what, _, number = actor.partition(":")
    if what == "schedule" and number.isdigit():
        schedules = apps.get_model("schedules", "Schedule").objects.filter(pk=number)
        people = schedules.values_list("asked_by", "owner").first()
        return next(filter(None, people or ()), actor)
    return actor


def put(approval: Approval, state: str, among: Sequence[str] = (State.WAITING,), **values: Any) -> bool:
    """A conditional UPDATE: of two who decide at the same time one does."""
    done = Approval.objects.filter(pk=approval.pk, state__in=among).update(state=state, **values)
    approval.refresh_from_db()
    return bool(done)
