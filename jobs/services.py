"""What can be done with jobs: plan, launch, cancel."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any
from uuid import uuid4

from django.db import IntegrityError, transaction
from django.utils import timezone

from hardware.events import announce, audit
from hardware.inventory.models import Machine
from jobs import registry
from jobs.depot.services import Depot
from jobs.dispatch import wake
from jobs.failures import PlanRefused
from jobs.kind import Kind, Target
from jobs.models import Job, JobStep
from jobs.plan import Plan
from jobs.states import UNSTARTED, JobState


def plan(slug: str, params: dict[str, Any], machines: Sequence[Machine]) -> tuple[Plan, dict[str, Any]]:
    """The plan of a kind, and the parameters as the kind cleaned them. Changes nothing. Raises ``PlanRefused``."""
    kind = _kind(slug)
    checked = kind.Params(data=params)
    if not checked.is_valid():
        field, problem = next(iter(checked.errors.items()))
        raise PlanRefused("params-invalid", f"{field}: {_first(problem)}", f"Correct {field}.", str(field))
    _check_targets(kind, machines)
    targets = [Target(machine.name, machine.read) for machine in machines]
    clean = dict(checked.validated_data)
    return kind.plan(clean, targets, Depot()), clean


def launch(
    slug: str,
    params: dict[str, Any],
    machines: Sequence[Machine],
    *,
    actor: str,
    approved_hash: str = "",
    once: str = "",
    retry_of: Job | None = None,
) -> Job:
    """Store a job and wake a worker. With ``approved_hash`` only that very plan is run.

    With ``once``, launching again under the same name gives the job that is there and starts nothing. ``retry_of`` is
    the job that it runs again (``jobs.retry``).

    Raises ``PlanRefused`` when the plan can't be made, or would no longer be the one that was approved.
    """
    if once and (there := Job.objects.filter(once=once).first()) is not None:
        return there
    made, clean = plan(slug, params, machines)
    kind = _kind(slug)
    _check_preflight(kind, clean, machines)
    if approved_hash and made.hash != approved_hash:
        raise PlanRefused(
            "plan-changed", "The plan is no longer the one that was shown.", "Look at the new plan, then run it."
        )
    try:
        return _store(kind, made, clean, machines, actor, once, retry_of)
    except IntegrityError:
        # The same launch at the same time: the other one was first.
        if once and (there := Job.objects.filter(once=once).first()) is not None:
            return there
        raise


def _store(
    kind: Kind,
    made: Plan,
    clean: dict[str, Any],
    machines: Sequence[Machine],
    actor: str,
    once: str,
    retry_of: Job | None,
) -> Job:
    with transaction.atomic():
        job = Job.objects.create(
            kind=kind.slug,
            params={name: value for name, value in clean.items() if name not in kind.secrets},
            plan=made.to_json(),
            plan_hash=made.hash,
            queue=made.queue,
            mutates=kind.mutates,
            created_by=actor,
            once=once or None,
            retry_of=retry_of,
        )
        job.machines.set(machines)
        by_name = {machine.name: machine for machine in machines}
        _store_steps(job, made, by_name)
        again = {"retry_of": retry_of.pk} if retry_of else {}
        audit(
            "job.launch",
            f"job:{job.pk}",
            actor=actor,
            kind=kind.slug,
            plan=made.hash,
            machines=sorted(by_name),
            **again,
        )
        announce("fleet", "job", job=job.pk, state=job.state)
        transaction.on_commit(lambda: wake(job.pk, job.queue))
    return job


def cancel(job: Job, *, actor: str) -> bool:
    """Ask a job to stop; ``False`` when it had ended. One that no worker has yet ends at once."""
    with transaction.atomic():
        now = timezone.now()
        unstarted = Job.objects.filter(pk=job.pk, state__in=UNSTARTED).update(
            state=JobState.CANCELLED, ended_at=now, waits_for=None
        )
        asked = unstarted or Job.objects.filter(pk=job.pk, state=JobState.RUNNING).update(state=JobState.CANCELLING)
        if asked:
            job.refresh_from_db()
            audit("job.cancel", f"job:{job.pk}", actor=actor)
            announce(f"job:{job.pk}", "job", state=job.state)
    return bool(asked)


def _kind(slug: str) -> Kind:
    try:
        return registry.get(slug)
    except KeyError:
        raise PlanRefused("kind-unknown", f"There is no kind of job called {slug}.", "Choose a kind.", "kind") from None


# How many machines a kind takes, and in words.
_TARGETS: dict[str, tuple[int, float, str]] = {
    "none": (0, 0, "no machine"),
    "optional": (0, 1, "one machine at most"),
    "one": (1, 1, "exactly one machine"),
    "many": (1, inf, "at least one machine"),
}


def _check_preflight(kind: Kind, params: dict[str, Any], machines: Sequence[Machine]) -> None:
    """A blocking check stops the job here, before a byte is copied."""
    for machine in machines:
        for check in kind.preflight(params, Target(machine.name, machine.read), Depot()):
            if check.severity == "block":
                mend = f"{check.mend.label}: run {check.mend.kind}." if check.mend else "Mend it, then probe again."
                raise PlanRefused("preflight-blocked", f"{machine.name}: {check.reason}", mend, "targets")


def _check_targets(kind: Kind, machines: Sequence[Machine]) -> None:
    low, high, text = _TARGETS[kind.targets]
    if not low <= len(machines) <= high:
        raise PlanRefused("targets-invalid", f"{kind.title} takes {text}.", "Correct the targets.", "targets")
    for machine in machines:
        if machine.state not in (Machine.State.READY, Machine.State.SILENT):
            raise PlanRefused(
                "machine-not-ready",
                f"{machine.name} is {machine.get_state_display().lower()}; nothing logs in there.",
                "Confirm its fingerprint, or take it out of the targets.",
                "targets",
            )


def _store_steps(job: Job, made: Plan, machines: dict[str, Machine]) -> None:
    rows: list[JobStep] = []
    for stage, stage_plan in enumerate(made.to_json()["stages"]):
        for lane, lane_plan in enumerate(stage_plan["lanes"]):
            machine = machines[lane_plan["machine"]] if lane_plan["machine"] else None
            for compensates, steps in ((False, lane_plan["steps"]), (True, lane_plan["on_failure"])):
                for position, step in enumerate(steps):
                    rows.append(
                        JobStep(
                            job=job,
                            stage=stage,
                            lane=lane,
                            position=position,
                            compensates=compensates,
                            machine=machine,
                            key=step["key"],
                            title=step["title"],
                            action=step["action"],
                            run_id=uuid4().hex,
                        )
                    )
    JobStep.objects.bulk_create(rows)


def _first(problem: Any) -> str:
    return str(problem[0]) if isinstance(problem, list) and problem else str(problem)
