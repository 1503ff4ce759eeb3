"""Firing: one of a schedule's times has come.

First the schedule moves on and the fire is stored, in one transaction, by a conditional UPDATE: of two beats, two
workers or a task that is delivered twice one gets it. Then its job is planned and launched; the transaction that stores
the job notes it with the fire. A worker that dies in between leaves a fire that is ``begun``; the next sweep goes on
with it, and since the launch has a name (``once``), nothing is launched twice.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from hardware.database import is_away
from hardware.events import announce, audit
from jobs.failures import PlanRefused
from jobs.models import Job
from jobs.request import found
from jobs.schedules.beat import set_alarm
from jobs.schedules.models import Fire, Schedule
from jobs.services import launch
from jobs.states import ENDED

log = logging.getLogger(__name__)

# What comes no later than this came in time: the sweep is not told of a lost wake-up, it comes by.
ON_TIME = timedelta(seconds=60)
# A fire that has not come to an end for so long has lost its worker.
LOST_AFTER = timedelta(seconds=60)


def sweep() -> list[int]:
    """Fire whatever is due, and go on with what a dead worker left; returns the fires' ids."""
    now = timezone.now()
    fired = []
    for left in Fire.objects.filter(outcome=Fire.Outcome.BEGUN, at__lt=now - LOST_AFTER).order_by("id"):
        carry_out(left)
        fired.append(left.pk)
    due = Schedule.objects.filter(enabled=True, next_at__lte=now).order_by("next_at", "pk")
    for schedule_id in list(due.values_list("pk", flat=True)):
        try:
            done = fire(schedule_id)
        except Exception as wrong:
            if is_away(wrong):
                raise
            # Such as a time zone that is gone: the others fire all the same.
            log.exception("schedule %s could not fire", schedule_id)
            continue
        if done is not None:
            fired.append(done.pk)
    return fired


def fire(schedule_id: int) -> Fire | None:
    """Fire a schedule of which a time has come; ``None`` when none has, or somebody else has it."""
    begun = _begin(schedule_id, timezone.now())
    if begun is None:
        return None
    carry_out(begun)
    begun.refresh_from_db()
    return begun


def _begin(schedule_id: int, now: datetime) -> Fire | None:
    """Move the schedule on and store the fire."""
    schedule = Schedule.objects.filter(pk=schedule_id, enabled=True, next_at__lte=now).first()
    if schedule is None or schedule.next_at is None:
        return None
    due, passed_over, following = schedule.next_at, 0, None
    for moment in schedule.recurrence.after(schedule.next_at):
        if moment > now:
            following = moment
            break
        due, passed_over = moment, passed_over + 1
    # Edited meanwhile: whoever edited it has reckoned its times anew.
    as_read = {name: getattr(schedule, name) for name in ("next_at", "mode", "at", "cron", "seconds", "zone")}
    with transaction.atomic():
        if not Schedule.objects.filter(pk=schedule_id, enabled=True, **as_read).update(next_at=following):
            return None
        if following is None:
            schedule.next_at = None
            set_alarm(schedule)
        begun, new = Fire.objects.get_or_create(
            schedule=schedule, due_at=due, defaults={"at": now, "passed_over": passed_over}
        )
        # A clock that was set back brings a time again: it has fired.
        return begun if new else None


def carry_out(begun: Fire) -> None:
    """Launch the fire's job, or note why there is none."""
    schedule = begun.schedule
    try:
        skipped = _missed(begun, schedule) or _overlaps(begun, schedule)
        if skipped is not None:
            _close(begun, Fire.Outcome.SKIPPED, skipped)
            return
        launch_for(schedule, begun)
    except PlanRefused as refused:
        _close(begun, Fire.Outcome.REFUSED, _said(refused.code, refused.cause, refused.mend))
    except Exception as wrong:
        if is_away(wrong):
            # No fault of the schedule's: the sweep goes on with it.
            raise
        log.exception("schedule %s: its job could not be launched", schedule.pk)
        cause = "The console itself is at fault; its own log has the details."
        _close(
            begun, Fire.Outcome.ERRORED, _said("console-bug", cause, "Give the time of this fire to whoever runs it.")
        )


def launch_for(schedule: Schedule, begun: Fire) -> Job:
    """Launch what the schedule asks for. Raises ``PlanRefused``."""
    if not User.objects.filter(username=schedule.owner, is_active=True).exists():
        raise PlanRefused(
            "owner-gone",
            f"{schedule.owner}, who owns the schedule, has no account any more.",
            "Give the schedule another owner.",
            "owner",
        )
    asked = schedule.asked()
    return launch(
        asked.slug,
        asked.params,
        found(asked.targets),
        actor=schedule.actor,
        once=f"{schedule.actor}:{begun.due_at.isoformat()}",
        options=asked.options,
        arrange=partial(_launched, schedule, begun),
    )


def open_jobs(schedule: Schedule) -> list[Job]:
    """Its jobs that have not ended, the newest first."""
    mine = Job.objects.filter(fire__schedule=schedule).exclude(state__in=ENDED)
    return list(mine.defer("plan", "traceback").order_by("-pk"))


def _launched(schedule: Schedule, begun: Fire, job: Job) -> None:
    """In the transaction that stores the job."""
    Fire.objects.filter(pk=begun.pk).update(
        outcome=Fire.Outcome.LAUNCHED, job=job, after=begun.after, reason=begun.reason
    )
    Schedule.objects.filter(pk=schedule.pk).update(refused_in_a_row=0)
    audit(
        "schedule.fire",
        f"schedule:{schedule.pk}",
        actor=begun.by or schedule.actor,
        owner=schedule.owner,
        due=begun.due_at.isoformat(),
        job=job.pk,
    )
    announce("fleet", "schedule", schedule=schedule.pk, outcome=Fire.Outcome.LAUNCHED, job=job.pk)


def _close(begun: Fire, outcome: Fire.Outcome, reason: dict[str, Any]) -> None:
    """Note why there is no job."""
    with transaction.atomic():
        still = Fire.objects.filter(pk=begun.pk, outcome=Fire.Outcome.BEGUN)
        if not still.update(outcome=outcome, reason=reason):
            return
        schedule = begun.schedule
        if outcome != Fire.Outcome.SKIPPED:
            Schedule.objects.filter(pk=schedule.pk).update(refused_in_a_row=F("refused_in_a_row") + 1)
        audit(
            f"schedule.{outcome.value}",
            f"schedule:{schedule.pk}",
            actor=schedule.actor,
            due=begun.due_at.isoformat(),
            code=reason["code"],
        )
        announce("fleet", "schedule", schedule=schedule.pk, outcome=outcome)


def _missed(begun: Fire, schedule: Schedule) -> dict[str, Any] | None:
    """Why a time that was missed is not made up for; one that is is marked so."""
    late = begun.at - begun.due_at
    if late <= ON_TIME:
        return None
    seconds = int(late.total_seconds())
    if seconds <= schedule.catch_up_s:
        begun.reason = {"code": "caught-up", "late_s": seconds}
        return None
    return {
        **_said("missed", "The console was off, or could not, when it was due.", "Press Run now to make up for it."),
        "late_s": seconds,
    }


def _overlaps(begun: Fire, schedule: Schedule) -> dict[str, Any] | None:
    """Why it is not launched beside the job before; or mark what it has to wait for."""
    before = open_jobs(schedule)
    if not before:
        return None
    newest = before[0]
    if schedule.overlap == Schedule.Overlap.SKIP:
        cause = f"Job {newest.pk}, of the time before, has not ended."
        return {**_said("not-ended", cause, f"Look what job {newest.pk} does or waits for."), "job": newest.pk}
    if newest.started_at is None:
        cause = f"Job {newest.pk} is queued already, and has not begun."
        return {**_said("queued-already", cause, f"Look what job {newest.pk} waits for."), "job": newest.pk}
    begun.after = newest
    return None


def _said(code: str, cause: str, mend: str) -> dict[str, Any]:
    return {"code": code, "cause": cause, "mend": mend}
