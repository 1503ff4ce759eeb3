"""The real thing: celery beat wakes a worker, the worker launches the job and carries it out."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from jobs.models import Job
from jobs.schedules import beat
from jobs.schedules.models import Fire, Schedule
from jobs.schedules.services import change, delete
from tests.redis_server import Redis

SECONDS = 60


@pytest.fixture
def processes(redis_server: Redis, transactional_db: None, tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """A worker and two beats on the tests' database. The sweep is too seldom to be what wakes anybody here."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.faults.same_database",
        "CONSOLE_VAR": str(settings.VAR_DIR),
        "CONSOLE_RECONCILE_SECONDS": "60",
    }
    celery = [sys.executable, "-m", "celery", "--quiet", "-A", "tests.jobs.schedules.processes"]
    worker = [*celery, "worker", "--pool", "threads", "-c", "2", "-Q", "machines", "--without-gossip"]
    clock = [*celery, "beat", "--pidfile", "", "--scheduler", "django_celery_beat.schedulers:DatabaseScheduler"]
    with (tmp_path / "said").open("wb") as said:
        started = [
            subprocess.Popen(command, env=environment, stdout=said, stderr=said) for command in (worker, clock, clock)
        ]
        yield started
        for process in started:
            process.terminate()
        for process in started:
            process.wait(30)


def until(moment: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not moment():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_two_beats_launch_one_job_at_its_time_and_it_runs_to_its_end(
    hourly: Callable[..., Schedule], processes: list[subprocess.Popen[bytes]]
):
    # Both have read what is in the database: what comes now is a change that they must notice.
    until(lambda: PeriodicTask.objects.filter(name="schedules").exists())
    moment = timezone.now() + timedelta(seconds=8)
    schedule = hourly(mode="every", cron="", seconds=3600, at=moment, request={"params": {"command": "echo $HOME"}})
    until(lambda: Job.objects.filter(state="succeeded").exists())
    fire = Fire.objects.get()
    assert (fire.outcome, fire.due_at, fire.job.created_by) == ("launched", moment, schedule.actor)
    assert fire.at - moment < timedelta(seconds=6) and fire.job.started_at > moment
    assert Job.objects.count() == 1 and all(process.poll() is None for process in processes)
    schedule.refresh_from_db()
    assert schedule.next_at == moment + timedelta(hours=1)


def test_beat_is_told_of_each_kind_of_time_and_of_none_when_there_is_none(hourly: Callable[..., Schedule]):
    schedule = hourly(cron="*/30 2 * 1-3 mon,7", zone="Asia/Shanghai")

    def alarm() -> PeriodicTask:
        return PeriodicTask.objects.get(name=beat.name_of(schedule.pk))

    cron = alarm().crontab
    assert (cron.minute, cron.hour, cron.day_of_month, cron.month_of_year, cron.day_of_week, str(cron.timezone)) == (
        "0,30", "2", "*", "1,2,3", "0,1", "Asia/Shanghai",
    )  # fmt: skip
    change(schedule, actor="ada", mode="every", seconds=600, at=timezone.now())
    assert (alarm().crontab, alarm().interval.every, alarm().start_time) == (None, 600, schedule.next_at)
    change(schedule, actor="ada", mode="once", at=timezone.now() + timedelta(days=1))
    assert (alarm().clocked.clocked_time, alarm().one_off) == (schedule.next_at, True)
    change(schedule, actor="ada", enabled=False)
    assert not PeriodicTask.objects.filter(name=beat.name_of(schedule.pk)).exists()
    change(schedule, actor="ada", enabled=True)
    assert alarm().enabled
    pk = schedule.pk
    delete(schedule, actor="ada")
    assert not PeriodicTask.objects.filter(name=beat.name_of(pk)).exists()
