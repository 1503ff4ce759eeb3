"""What can be decided about when jobs begin: windows, limits, and that one job need not wait."""

from __future__ import annotations

from functools import partial

from django.db import IntegrityError, transaction
from django.utils import timezone

from hardware.events import announce, audit
from jobs import registry
from jobs.admission.models import Limit, Urgency, Window
from jobs.engine.dispatch import wake
from jobs.failures import PlanRefused
from jobs.models import Job
from jobs.schedules.recurrence import read_zone
from jobs.states import UNSTARTED, JobState


def save_window(window: Window, *, actor: str) -> Window:
    """Store a new window or a changed one. Raises ``PlanRefused`` with the field that is wrong."""
    _check_window(window)
    window.created_by = window.created_by or actor
    action = "window.update" if window.pk else "window.create"
    said = {
        name: str(value)
        for name in ("kind", "site", "label", "weekdays", "begins", "ends", "zone", "starts_at", "stops_at")
        if (value := getattr(window, name)) not in (None, "", [])
    }
    try:
        with transaction.atomic():
            window.save()
            audit(action, f"window:{window.name}", actor=actor, must_end_inside=window.must_end_inside, **said)
            look_again("window")
    except IntegrityError:
        raise PlanRefused(
            "name-taken", f"There is a window called {window.name} already.", "Give another name.", "name"
        ) from None
    return window


def remove_window(window: Window, *, actor: str) -> None:
    with transaction.atomic():
        audit("window.delete", f"window:{window.name}", actor=actor, kind=window.kind)
        window.delete()
        look_again("window")


def save_limit(limit: Limit, *, actor: str) -> Limit:
    """Store a new limit or a changed one. Raises ``PlanRefused`` with the field that is wrong."""
    if limit.jobs is None and limit.machines is None:
        raise PlanRefused("limit-invalid", "The limit limits nothing.", "Give jobs, machines or both.", "jobs")
    for name in ("jobs", "machines"):
        if getattr(limit, name) == 0:
            raise PlanRefused(
                "limit-invalid", f"{name}: with 0 no job would ever begin.", "Give 1 or more, or use a freeze.", name
            )
    if limit.kind and limit.kind not in registry.all_kinds():
        raise PlanRefused("kind-unknown", f"There is no kind of job called {limit.kind}.", "Choose a kind.", "kind")
    limit.created_by = limit.created_by or actor
    action = "limit.update" if limit.pk else "limit.create"
    try:
        with transaction.atomic():
            limit.save()
            said = {"kind": limit.kind, "site": limit.site, "jobs": limit.jobs, "machines": limit.machines}
            audit(action, f"limit:{limit.pk}", actor=actor, **said)
            look_again("limit")
    except IntegrityError:
        raise PlanRefused(
            "limit-exists", "There is a limit for this kind and site already.", "Change that one.", "kind"
        ) from None
    return limit


def remove_limit(limit: Limit, *, actor: str) -> None:
    with transaction.atomic():
        audit("limit.delete", f"limit:{limit.pk}", actor=actor, kind=limit.kind, site=limit.site)
        limit.delete()
        look_again("limit")


def mark_urgent(job: Job, reason: str, *, actor: str) -> None:
    """Let a job that has not begun begin whatever windows are closed. Raises ``PlanRefused``."""
    reason = reason.strip()
    if not reason:
        raise PlanRefused("reason-missing", "The reason is missing.", "Say why it can't wait.", "reason")
    if job.state not in (*UNSTARTED, JobState.PROPOSED):
        raise PlanRefused("job-has-begun", f"Job {job.pk} does not wait for a window.", "There is nothing to do.")
    with transaction.atomic():
        Urgency.objects.update_or_create(job=job, defaults={"actor": actor, "reason": reason, "at": timezone.now()})
        audit("window.override", f"job:{job.pk}", actor=actor, reason=reason)
        announce(f"job:{job.pk}", "job", state=job.state, urgent=True)
        transaction.on_commit(partial(wake, job.pk, job.queue))


def look_again(reason: str) -> None:
    """What was decided is different now: after the commit, those who wait for it are looked at again.

    Not before: who claims a job holds it and then asks for the limits. Two who hold both the other way round would wait
    for each other.
    """
    transaction.on_commit(partial(_look_again, reason), robust=True)
    announce("fleet", "admission", reason=reason)


def _look_again(reason: str) -> None:
    with transaction.atomic():
        waiting = Job.objects.filter(state=JobState.WAITING, waits_on__reason=reason)
        # One after the other, in the order in which everybody takes several.
        found = list(waiting.select_for_update(no_key=True).order_by("pk").values_list("pk", flat=True))
        Job.objects.filter(pk__in=found).update(wake_at=timezone.now())


def _check_window(window: Window) -> None:
    if not window.name.strip():
        raise PlanRefused("window-invalid", "The window has no name.", "Give it a name.", "name")
    read_zone(window.zone)
    if window.kind == Window.Kind.FREEZE:
        window.weekdays, window.begins, window.ends = [], None, None
        if window.starts_at is None or window.stops_at is None or window.starts_at >= window.stops_at:
            raise PlanRefused(
                "window-invalid", "The freeze has no beginning and end.", "Give two times, the later last.", "stops_at"
            )
        if window.must_end_inside:
            raise PlanRefused(
                "window-invalid",
                "In a freeze no job begins, so none has to end inside.",
                "Leave that out.",
                "must_end_inside",
            )
        return
    window.starts_at = window.stops_at = None
    days = window.weekdays
    if not days or any(day not in range(7) for day in days):
        raise PlanRefused("window-invalid", "The window is on no day.", "Choose days of the week.", "weekdays")
    window.weekdays = sorted(set(days))
    if window.begins is None or window.ends is None:
        raise PlanRefused("window-invalid", "The window has no beginning and end.", "Give the times of day.", "begins")
