"""The rows by which celery beat wakes us at a schedule's times.

Beat reads them from the database (django-celery-beat) within seconds of a change. They only wake: which time is due,
and whether it has fired, is for ``jobs.schedules.firing`` to say, by ``Schedule.next_at``. A wake-up that is lost,
early or late costs a few seconds: ``jobs.schedules.sweep`` comes by every few of them.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask

from jobs.schedules.models import Schedule
from jobs.schedules.recurrence import FIELDS, read_cron

TASK = "jobs.schedules.fire"
# A wake-up that nobody took for so long is of no use: the sweep was there before.
STALE_SECONDS = 60


def name_of(schedule_id: int) -> str:
    return f"schedule:{schedule_id}"


def set_alarm(schedule: Schedule) -> None:
    """Have beat wake us at the schedule's times, or no more. Call inside the transaction that changes it."""
    if schedule.next_at is None:
        remove_alarm(schedule.pk)
        return
    times: dict[str, Any] = {"crontab": None, "interval": None, "clocked": None, "start_time": None, "one_off": False}
    if schedule.mode == Schedule.Mode.CRON:
        times["crontab"] = _crontab(schedule)
    elif schedule.mode == Schedule.Mode.EVERY:
        seconds = IntervalSchedule.SECONDS
        times["interval"], _ = IntervalSchedule.objects.get_or_create(every=schedule.seconds, period=seconds)
        times["start_time"] = schedule.next_at
    else:
        times["clocked"], _ = ClockedSchedule.objects.get_or_create(clocked_time=schedule.next_at)
        times["one_off"] = True
    wanted = {
        **times, "task": TASK, "args": f"[{schedule.pk}]", "enabled": True, "expire_seconds": STALE_SECONDS,
        # Beat reckons from when it was last due; from before this change that means nothing.
        "last_run_at": None, "total_run_count": 0,
    }  # fmt: skip
    PeriodicTask.objects.update_or_create(name=name_of(schedule.pk), defaults=wanted)


def remove_alarm(schedule_id: int) -> None:
    for task in PeriodicTask.objects.filter(name=name_of(schedule_id)):
        task.delete()


def _crontab(schedule: Schedule) -> CrontabSchedule:
    read = read_cron(schedule.cron)
    sets = (set(read.minutes), set(read.hours), read.days, read.months, read.weekdays)
    spec = dict(
        zip(
            ("minute", "hour", "day_of_month", "month_of_year", "day_of_week"),
            (_spelt(numbers, *field[1:3]) for numbers, field in zip(sets, FIELDS, strict=True)),
            strict=True,
        )
    )
    found: CrontabSchedule
    found, _ = CrontabSchedule.objects.get_or_create(**spec, timezone=schedule.zone)
    return found


def _spelt(numbers: Set[int], low: int, high: int) -> str:
    whole = set(range(low, min(high, 6) + 1)) if high == 7 else set(range(low, high + 1))
    return "*" if numbers == whole else ",".join(map(str, sorted(numbers)))
