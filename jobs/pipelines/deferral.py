"""Jobs that come after other jobs: stored without a plan, planned when their turn comes.

What they will find is not known before: the facts change by what they wait for, and a parameter may be what another job
makes. So nothing is kept in a worker's memory either: whoever finds such a job when everything that it needs has ended
(a worker that was woken, or one that the reconciler woke) settles it, by a conditional update.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from hardware.events import audit
from hardware.inventory.models import Machine
from jobs import readiness
from jobs.control import cancel
from jobs.depot.services import Depot
from jobs.engine.dispatch import wake
from jobs.engine.locks import release
from jobs.failures import PlanRefused
from jobs.kind import Kind, Target, check_names
from jobs.models import Job
from jobs.options import Options
from jobs.pipelines import references
from jobs.pipelines.dependency import needs_of, survivors, verdict
from jobs.pipelines.models import Deferral, Dependency
from jobs.secrets import services as secrets
from jobs.services import AS_USUAL, check_targets, kind_of, settle_plan
from jobs.states import ENDED, UNSTARTED, JobState
from jobs.transitions import change, record

log = logging.getLogger(__name__)

# A job needs no more others; each is looked at when one of them ends.
MOST_NEEDS = 50
LOOK_AGAIN = timedelta(seconds=60)
NO_PLAN: dict[str, Any] = {"stages": [], "notes": []}


def defer(
    slug: str,
    params: Mapping[str, Any],
    machines: Sequence[Machine],
    after: Sequence[int],
    *,
    actor: str,
    options: Options = AS_USUAL,
    propose: bool = False,
    approved_hash: str = "",
    once: str = "",
    retry_of: Job | None = None,
    arrange: Callable[[Job], None] | None = None,
) -> Job:
    """Store a job that begins when all of ``after`` have ended well; it is planned then.

    ``params`` may hold references (``jobs.pipelines.references``); what is known of them is checked now.
    Raises ``PlanRefused``.
    """
    if once and (there := Job.objects.filter(once=once).first()) is not None:
        return there
    kind = kind_of(slug)
    needs = needed(after)
    references.check(params, {need.pk for need in needs})
    _check_known(kind, params)
    check_targets(kind, machines)
    stored, values = secrets.set_apart(kind, params)
    first_open = next((need for need in needs if need.state not in ENDED), None)
    now = timezone.now()
    job = Job(
        kind=kind.slug,
        params={name: value for name, value in stored.items() if name not in kind.secrets},
        plan=NO_PLAN,
        plan_hash="",
        queue="machines",
        mutates=kind.mutates,
        state=JobState.WAITING if first_open else JobState.QUEUED,
        waits_for=first_open,
        waits_on={"reason": "dependency", "until": None} if first_open else {},
        wake_at=now + LOOK_AGAIN if first_open else None,
        options=options.to_json(),
        priority=options.priority,
        created_by=actor,
        once=once or None,
        retry_of=retry_of,
    )
    try:
        with transaction.atomic():
            job.save(force_insert=True)
            job.machines.set(machines)
            Dependency.objects.bulk_create([Dependency(job=job, needs=need) for need in needs])
            Deferral.objects.create(
                job=job,
                wanted=sorted(machine.pk for machine in machines),
                propose=propose,
                approved_hash=approved_hash,
            )
            secrets.keep(job, values)
            names = sorted(machine.name for machine in machines)
            ids = [need.pk for need in needs]
            audit("job.defer", f"job:{job.pk}", actor=actor, kind=kind.slug, after=ids, machines=names)
            record(job.pk, "", JobState(job.state), actor=actor, reason={"after": ids})
            if arrange is not None:
                arrange(job)
            transaction.on_commit(lambda: wake(job.pk, job.queue))
    except IntegrityError:
        if once and (there := Job.objects.filter(once=once).first()) is not None:
            return there
        raise
    return job


def needed(after: Sequence[int]) -> list[Job]:
    """The jobs that one is to come after. Raises ``PlanRefused``."""
    wanted = sorted(set(after))
    found = Job.objects.in_bulk(wanted)
    missing = [str(pk) for pk in wanted if pk not in found]
    if missing:
        raise PlanRefused(
            "job-unknown", f"There is no job {', '.join(missing)} to come after.", "Name jobs that exist.", "after"
        )
    if len(wanted) > MOST_NEEDS:
        raise PlanRefused(
            "too-many-needs", f"A job comes after {MOST_NEEDS} others at most.", "Name fewer jobs.", "after"
        )
    needs = [found[pk] for pk in wanted]
    for need in needs:
        if verdict(need) == "failed":
            said = failed(need)
            raise PlanRefused(said["code"], said["cause"], said["mend"], "after")
    return needs


def _check_known(kind: Kind, params: Mapping[str, Any]) -> None:
    """What is no reference must be right now; the whole is checked when everything is known."""
    fields = kind.Params().fields
    check_names(kind, params)
    for name, value in params.items():
        if next(references.references(value), None) is None:
            try:
                fields[name].run_validation(value)
            except Exception as wrong:
                said = secrets.without_values(kind, dict(params), f"{name}: {_first(wrong)}")
                raise PlanRefused("params-invalid", said, f"Correct {name}.", str(name)) from wrong
    for name, field in fields.items():
        if field.required and not field.read_only and name not in params:
            raise PlanRefused("params-invalid", f"{name}: it is needed.", f"Give {name}.", str(name))


def _first(wrong: Exception) -> str:
    detail = getattr(wrong, "detail", [str(wrong)])
    return str(detail[0]) if isinstance(detail, list) and detail else str(detail)


def settle(job_id: int) -> bool:
    """Plan a job whose turn has come, or end it because it never can begin; ``True`` when it may be claimed now.

    Nothing is done while something that it needs has not ended. Safe to call at any time, by any number of workers.
    """
    job = Job.objects.filter(pk=job_id, state__in=UNSTARTED).first()
    if job is None:
        return False
    needs = needs_of(job)
    if any(need.state not in ENDED for need in needs):
        return False
    for need in needs:
        if verdict(need) == "failed":
            cancel(job, actor="console", reason=failed(need))
            return False
    deferral = Deferral.objects.filter(job=job, settled_at=None).first()
    if deferral is None:
        return False
    try:
        return _plan(job, deferral, needs)
    except PlanRefused as refused:
        cancel(job, actor="console", reason=refused.to_json())
    except Exception:
        # A bug of ours must not keep it, and what comes after it, waiting for ever.
        said = secrets.masked(job.pk, traceback.format_exc())
        log.error("job %s could not be planned\n%s", job.pk, said)
        _errored(job, said)
    return False


def failed(need: Job) -> dict[str, str]:
    """Why a job that needs this one never begins: code, cause, mend."""
    why = need.failure.get("cause") or f"it ended {need.get_state_display().lower()}."
    mend = need.failure.get("mend") or "Look at that job"
    return {
        "code": "dependency-failed",
        "cause": f"Job {need.pk} ({need.kind}), which it needs, did not end well: {why}",
        "mend": f"{mend.rstrip('.')}; then run job {need.pk} again, and this one.",
    }


def _plan(job: Job, deferral: Deferral, needs: list[Job]) -> bool:
    options = Options.from_json(job.options)
    standing = survivors(set(deferral.wanted), needs)
    machines = Machine.objects.in_bulk(list(standing))
    behind: dict[str, dict[str, str]] = {}
    left: list[Machine] = []
    for pk, machine in sorted(machines.items()):
        lost_in = standing[pk]
        if lost_in is not None:
            behind[machine.name] = {
                "code": "dependency-failed",
                "cause": f"{machine.name} did not get through job {lost_in.pk} ({lost_in.kind}).",
                "mend": f"Run job {lost_in.pk} again on it.",
            }
        else:
            left.append(machine)
    params = {**references.resolve(job.params, left), **secrets.of(job.pk)}
    blocked = _blocked(kind_of(job.kind), params, left)
    if 0 < len(blocked) <= options.may_fail(len(left)) and len(blocked) < len(left):
        behind |= blocked
        left = [machine for machine in left if machine.name not in blocked]
    if deferral.wanted and not left:
        raise PlanRefused(
            "dependency-failed",
            f"No machine is left: {len(behind)} did not get through what comes before.",
            "Mend what failed there, then run it again on them.",
        )

    def first() -> bool:
        return bool(
            Deferral.objects.filter(pk=deferral.pk, settled_at=None).update(
                settled_at=timezone.now(), left_behind=behind
            )
        )

    queue = job.queue
    settled = settle_plan(
        job, params, left, approved_hash=deferral.approved_hash, propose=deferral.propose, fence=first
    )
    if settled and job.queue != queue:
        # What the console itself computes is for other workers than this one.
        wake(job.pk, job.queue)
        return False
    return settled and job.state == JobState.QUEUED


def _blocked(kind: Kind, params: dict[str, Any], machines: Sequence[Machine]) -> dict[str, dict[str, str]]:
    """What preflight says of the machines that it blocks."""
    checked = kind.Params(data=params)
    if not checked.is_valid():
        return {}
    found = {}
    depot = Depot()
    for machine in machines:
        target = Target(machine.name, machine.read)
        try:
            checks = readiness.checks(kind, dict(checked.validated_data), target, depot)
        except PlanRefused as refused:
            found[machine.name] = refused.to_json()
            continue
        block = next((check for check in checks if check.severity == "block"), None)
        if block is not None:
            mend = f"{block.mend.label}: run {block.mend.kind}." if block.mend else "Mend it, then probe again."
            found[machine.name] = {
                "code": "preflight-blocked", "cause": f"{machine.name}: {block.reason}", "mend": mend,
            }  # fmt: skip
    return found


def _errored(job: Job, text: str) -> None:
    said = {
        "code": "console-bug",
        "cause": "The console itself is at fault.",
        "mend": "Give the job's number to its makers.",
    }
    with transaction.atomic():
        ended = change(
            job.pk, JobState.ERRORED, among=UNSTARTED, actor="console", reason=said, failure=said,
            traceback=text, ended_at=timezone.now(), waits_for=None, waits_on={}, wake_at=None,
        )  # fmt: skip
        if ended:
            secrets.forget(job.pk)
            release(job.pk)
            audit("job.errored", f"job:{job.pk}", **said)
