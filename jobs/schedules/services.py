"""What can be done with schedules: create, change, delete, run now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from hardware.events import announce, audit
from jobs import registry
from jobs.failures import PlanRefused
from jobs.kind import check_names
from jobs.options import Options
from jobs.request import Request
from jobs.schedules import firing
from jobs.schedules.beat import remove_alarm, set_alarm
from jobs.schedules.models import Fire, Schedule

TIMES = ("mode", "at", "cron", "seconds", "zone", "enabled")


def create(*, actor: str, **fields: Any) -> Schedule:
    """A new schedule; without ``owner`` it is the actor's. Raises ``PlanRefused`` with the field that is wrong."""
    schedule = Schedule(created_by=actor, asked_by=actor, **{"owner": actor, **fields})
    _check(schedule)
    return _save(schedule, "schedule.create", actor, fields)


def change(schedule: Schedule, *, actor: str, **fields: Any) -> Schedule:
    """Give it another name, request, time, owner, or policy; enable or disable it. Raises ``PlanRefused``."""
    before = {name: getattr(schedule, name) for name in TIMES}
    if fields.get("request", schedule.request) != schedule.request:
        fields["asked_by"] = actor
    for name, value in fields.items():
        setattr(schedule, name, value)
    moved = before != {name: getattr(schedule, name) for name in TIMES}
    # One that has had its only time may still be renamed.
    _check(schedule, times=moved)
    return _save(schedule, "schedule.update", actor, fields, moved=moved)


def delete(schedule: Schedule, *, actor: str) -> None:
    """Take it away with its history of fires; its jobs and the trail stay."""
    with transaction.atomic():
        remove_alarm(schedule.pk)
        audit("schedule.delete", f"schedule:{schedule.pk}", actor=actor, name=schedule.name)
        announce("fleet", "schedule", schedule=schedule.pk, deleted=True)
        schedule.delete()


def run_now(schedule: Schedule, *, actor: str) -> Fire:
    """Launch its job now, whatever the time. Raises ``PlanRefused`` when there can be none; nothing is stored then."""
    with transaction.atomic():
        # Of two at the same time the second finds the job that the first has launched.
        Schedule.objects.select_for_update().only("pk").get(pk=schedule.pk)
        before = firing.open_jobs(schedule)
        if before:
            raise PlanRefused(
                "not-ended",
                f"Job {before[0].pk} of this schedule has not ended.",
                f"Wait for job {before[0].pk}, or cancel it; then run it again.",
            )
        fire = Fire.objects.create(schedule=schedule, due_at=timezone.now(), by=actor)
        firing.launch_for(schedule, fire)
    fire.refresh_from_db()
    return fire


def _save(schedule: Schedule, action: str, actor: str, fields: dict[str, Any], *, moved: bool = True) -> Schedule:
    said = {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in fields.items()}
    try:
        with transaction.atomic():
            if moved:
                # Times that went by while it was off are not made up for.
                schedule.next_at = schedule.recurrence.next(timezone.now()) if schedule.enabled else None
                schedule.refused_in_a_row = 0
                schedule.save()
                set_alarm(schedule)
            else:
                # A fire may move it on at this very moment.
                schedule.save(update_fields=sorted(fields))
            audit(action, f"schedule:{schedule.pk}", actor=actor, **said)
            announce("fleet", "schedule", schedule=schedule.pk, enabled=schedule.enabled)
    except IntegrityError:
        raise PlanRefused(
            "name-taken", f"There is a schedule called {schedule.name} already.", "Give another name.", "name"
        ) from None
    return schedule


def _check(schedule: Schedule, *, times: bool = True) -> None:
    if not schedule.name.strip():
        raise PlanRefused("schedule-invalid", "The schedule has no name.", "Give it a name.", "name")
    if times:
        schedule.recurrence.check()
        if schedule.enabled and schedule.recurrence.next(timezone.now()) is None:
            raise PlanRefused("schedule-invalid", "This time is over.", "Give a time that is to come.", "at")
    if not User.objects.filter(username=schedule.owner, is_active=True).exists():
        raise PlanRefused("owner-unknown", f"There is no account {schedule.owner}.", "Choose another owner.", "owner")
    check_request(schedule.asked())


def check_request(asked: Request) -> None:
    """Raise ``PlanRefused`` for a request that can't be stored: no such kind, wrong parameters, or a secret in them."""
    kind = registry.all_kinds().get(asked.slug)
    if kind is None:
        raise PlanRefused("kind-unknown", f"There is no kind of job called {asked.slug}.", "Choose a kind.", "kind")
    secret = next((name for name in sorted(kind.secrets) if asked.params.get(name)), None)
    if secret is not None:
        raise PlanRefused(
            "secret-in-schedule",
            f"{secret} is a secret, and a schedule does not keep secrets.",
            "Launch this kind by hand.",
            secret,
        )
    check_names(kind, asked.params)
    tried = kind.Params(data=asked.params)
    if not tried.is_valid():
        name, problem = next(iter(tried.errors.items()))
        text = str(problem[0]) if isinstance(problem, list) and problem else str(problem)
        raise PlanRefused("params-invalid", f"{name}: {text}", f"Correct {name}.", str(name))
    if kind.targets == "none" and any(asked.targets.values()):
        raise PlanRefused("targets-invalid", f"{kind.title} takes no machine.", "Correct the targets.", "targets")
    if kind.targets in ("one", "many") and not any(asked.targets.values()):
        raise PlanRefused("targets-invalid", f"{kind.title} takes machines.", "Choose them.", "targets")
    asked.resolve()


def stored(data: Mapping[str, Any]) -> dict[str, Any]:
    """A request as it is stored: targets and options that are empty are left out. Raises ``PlanRefused`` for wrong
    options.
    """
    return Request(
        str(data["kind"]),
        dict(data.get("params", {})),
        {name: value for name, value in data.get("targets", {}).items() if value},
        Options.checked({name: value for name, value in data.get("options", {}).items() if value not in ("", None)}),
    ).to_json()
