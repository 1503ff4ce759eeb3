"""Making jobs: plan and launch. What is done with them after that: ``jobs.control``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any
from uuid import uuid4

from django.db import IntegrityError, transaction

from hardware.events import audit
from hardware.inventory.facts import Facts
from hardware.inventory.models import Machine
from hardware.statements import store
from jobs import readiness, registry
from jobs.approvals import rules as approval_rules
from jobs.approvals.asking import ask
from jobs.depot.services import Depot
from jobs.engine.dispatch import wake
from jobs.failures import PlanRefused
from jobs.kind import Kind, Target, check_names
from jobs.models import Job, JobStep, JobTarget
from jobs.options import Options
from jobs.plan import Plan
from jobs.planning.collision import look_at, refusal
from jobs.planning.shape import shaped
from jobs.secrets import services as secrets
from jobs.states import UNSTARTED, JobState
from jobs.transitions import change, record

AS_USUAL = Options()
# Characters of a step's title.
_TITLE = 200


def plan(
    slug: str, params: dict[str, Any], machines: Sequence[Machine], options: Options = AS_USUAL
) -> tuple[Plan, dict[str, Any]]:
    """The plan of a kind as the options shape it, and the parameters as the kind cleaned them, with placeholders for
    secrets.

    Changes nothing. Raises ``PlanRefused``.
    """
    made, clean, _ = _plan(kind_of(slug), params, machines, options)
    return made, clean


def _plan(
    kind: Kind, params: dict[str, Any], machines: Sequence[Machine], options: Options
) -> tuple[Plan, dict[str, Any], dict[str, str]]:
    """The plan, the parameters without their secrets, and the secrets."""
    check_names(kind, params)
    secrets.check_given(kind, params)
    checked = kind.Params(data=params)
    with secrets.unquoted(kind, params):
        right = checked.is_valid()
    if not right:
        field, problem = next(iter(checked.errors.items()))
        said = secrets.without_values(kind, params, f"{field}: {_first(problem)}")
        raise PlanRefused("params-invalid", said, f"Correct {field}.", str(field))
    clean, values = secrets.set_apart(kind, checked.validated_data)
    check_targets(kind, machines)
    targets = [Target(machine.name, machine.read) for machine in machines]
    made = shaped(kind.plan(clean, targets, Depot()), options)
    secrets.check_read(made.to_json(), values)
    return made, clean, values


def plan_again(job: Job, machines: Sequence[Machine]) -> tuple[Plan, dict[str, Any]]:
    """The plan that a job's own request gives now, and its parameters with placeholders for secrets.

    The parameters are those that were checked when it was launched: only what is true has changed. ``machines`` in the
    order in which they were named. Raises ``PlanRefused``.
    """
    kind = kind_of(job.kind)
    clean = secrets.stored_params(job, kind)
    check_targets(kind, machines)
    targets = [Target(machine.name, machine.read) for machine in machines]
    return shaped(kind.plan(clean, targets, Depot()), Options.from_json(job.options)), clean


def launch(
    slug: str,
    params: dict[str, Any],
    machines: Sequence[Machine],
    *,
    actor: str,
    approved_hash: str = "",
    once: str = "",
    retry_of: Job | None = None,
    options: Options = AS_USUAL,
    propose: bool = False,
    arrange: Callable[[Job], None] | None = None,
    seen: Mapping[str, Facts] | None = None,
) -> Job:
    """Store a job and wake a worker. With ``approved_hash`` only that very plan is run.

    With ``once``, launching again under the same name gives the job that is there and starts nothing. ``retry_of`` is
    the job that it runs again (``jobs.retry``). ``propose``, or a rule: another person has to approve it
    first (``jobs.approvals``). ``arrange`` is called with the job in the transaction that stores it. ``seen`` is what
    ``collision.look_ahead`` found, for a caller that is in a transaction; else the machines are looked at here.

    Raises ``PlanRefused`` when the plan can't be made, or would no longer be the one that was approved.
    """
    if once and (there := Job.objects.filter(once=once).first()) is not None:
        return there
    kind = kind_of(slug)
    made, clean, values = _plan(kind, params, machines, options)
    if made.touches_machines:
        check_preflight(kind, clean, machines, seen)
    if approved_hash and made.hash != approved_hash:
        raise PlanRefused(
            "plan-changed", "The plan is no longer the one that was shown.", "Look at the new plan, then run it."
        )
    rules = approval_rules.concerning(kind, machines)
    propose = propose or bool(rules)
    job = Job(
        kind=kind.slug,
        params={name: value for name, value in clean.items() if name not in kind.secrets},
        plan=made.to_json(),
        plan_hash=made.hash,
        queue=made.queue,
        mutates=kind.mutates and made.touches_machines,
        state=JobState.PROPOSED if propose else JobState.QUEUED,
        options=options.to_json(),
        priority=options.priority,
        created_by=actor,
        once=once or None,
        retry_of=retry_of,
    )
    try:
        with transaction.atomic():
            _store(job, made, machines, options)
            secrets.keep(job, values)
            if propose:
                ask(job, [str(rule) for rule in rules])
            if arrange is not None:
                arrange(job)
    except IntegrityError:
        # The same launch at the same time: the other one was first.
        if once and (there := Job.objects.filter(once=once).first()) is not None:
            return there
        raise
    return job


def settle_plan(
    job: Job,
    params: dict[str, Any],
    machines: Sequence[Machine],
    *,
    fence: Callable[[], bool],
    approved_hash: str = "",
    propose: bool = False,
) -> bool:
    """Give a job that was stored without a plan the one that is right now; ``False`` when another was first.

    ``fence`` is asked in the transaction. The job is as it is stored then. Raises ``PlanRefused`` as ``launch`` does.
    """
    kind = kind_of(job.kind)
    options = Options.from_json(job.options)
    made, clean, _ = _plan(kind, params, machines, options)
    if made.touches_machines:
        check_preflight(kind, clean, machines)
    if approved_hash and made.hash != approved_hash:
        raise PlanRefused(
            "plan-changed", "The plan is no longer the one that was shown.", "Look at the new plan, then run it."
        )
    rules = approval_rules.concerning(kind, machines)
    propose = propose or bool(rules)
    with transaction.atomic():
        # Only one may: the fence is a conditional update, and whoever it refuses writes nothing.
        settled = fence() and change(
            job.pk,
            JobState.PROPOSED if propose else JobState.QUEUED,
            among=UNSTARTED,
            actor="console",
            reason={"plan": made.hash},
            params={name: value for name, value in clean.items() if name not in kind.secrets},
            plan=made.to_json(),
            plan_hash=made.hash,
            queue=made.queue,
            mutates=kind.mutates and made.touches_machines,
            waits_for=None,
            waits_on={},
            wake_at=None,
        )
        if settled:
            job.machines.set(machines)
            _store_steps(job, made, {machine.name: machine for machine in machines}, set(options.pause_before))
            names = sorted(machine.name for machine in machines)
            audit("job.plan", f"job:{job.pk}", kind=kind.slug, plan=made.hash, machines=names)
            job.refresh_from_db()
            if propose:
                ask(job, [str(rule) for rule in rules])
    return settled


def _store(job: Job, made: Plan, machines: Sequence[Machine], options: Options) -> None:
    store(job)
    JobTarget.objects.bulk_create([JobTarget(job=job, machine=machine) for machine in machines])
    by_name = {machine.name: machine for machine in machines}
    _store_steps(job, made, by_name, set(options.pause_before))
    again = {"retry_of": job.retry_of_id} if job.retry_of_id else {}
    audit(
        "job.launch",
        f"job:{job.pk}",
        actor=job.created_by,
        kind=job.kind,
        plan=made.hash,
        machines=sorted(by_name),
        **again,
    )
    record(job.pk, "", JobState(job.state), actor=job.created_by)
    if job.state == JobState.QUEUED:
        transaction.on_commit(lambda: wake(job.pk, job.queue))


def kind_of(slug: str) -> Kind:
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


def check_preflight(
    kind: Kind, params: dict[str, Any], machines: Sequence[Machine], seen: Mapping[str, Facts] | None = None
) -> None:
    """A blocking check stops the job here, before a byte is copied; who holds the NPUs that it takes is looked at anew.

    ``seen`` is by machine what a look has found already. Raises ``PlanRefused``.
    """
    seen = look_at(kind, params, machines) if seen is None else seen
    targets = [Target(machine.name, seen.get(machine.name) or machine.read) for machine in machines]
    by_name = {machine.name: machine for machine in machines}
    for target, checks in readiness.judge(kind, params, targets, Depot()):
        for check in checks:
            if check.severity == "block" and check.code == "npu-held":
                raise refusal(by_name[target.name], check, fresh=target.name in seen)
            if check.severity == "block":
                mend = f"{check.mend.label}: run {check.mend.kind}." if check.mend else "Mend it, then probe again."
                raise PlanRefused("preflight-blocked", f"{target.name}: {check.reason}", mend, "targets")


def check_targets(kind: Kind, machines: Sequence[Machine]) -> None:
    low, high, text = _TARGETS[kind.targets]
    if not low <= len(machines) <= high:
        raise PlanRefused("targets-invalid", f"{kind.title} takes {text}.", "Correct the targets.", "targets")
    for machine in machines:
        if machine.state not in (Machine.State.READY, Machine.State.SILENT):
            raise PlanRefused(
                "machine-not-ready",
                f"{machine.name} is {machine.get_state_display().lower()}; nothing logs in there.",
                "Take it into use again, or out of the targets."
                if machine.state == Machine.State.RETIRED
                else "Confirm its fingerprint, or take it out of the targets.",
                "targets",
            )


def _store_steps(job: Job, made: Plan, machines: dict[str, Machine], pause_before: set[str]) -> None:
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
                            title=_within(step["title"], _TITLE),
                            action=step["action"],
                            held=not compensates and step["key"] in pause_before,
                            run_id=uuid4().hex,
                        )
                    )
    JobStep.objects.bulk_create(rows)


def _within(text: str, most: int) -> str:
    """A text that fits: the plan has all of it, and PostgreSQL takes no more than a column holds."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _first(problem: Any) -> str:
    """The first of a serializer's errors, with the field's name where it is one within."""
    if isinstance(problem, dict) and problem:
        field, inner = next(iter(problem.items()))
        return _first(inner) if field == "non_field_errors" else f"{field}: {_first(inner)}"
    return _first(problem[0]) if isinstance(problem, list) and problem else str(problem)
