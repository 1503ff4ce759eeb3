"""A worker is killed while it fires a schedule: one job is launched for the time, by whoever comes by next."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.utils import timezone

from hardware.inventory.models import Machine
from jobs.models import Job
from jobs.schedules import firing
from jobs.schedules.models import Fire, Schedule
from jobs.schedules.services import create, stored


@pytest.mark.parametrize("moment", ["launch_for", "_launched"])
def test_a_worker_that_is_killed_while_it_launches_leaves_one_job(machine: Machine, moment: str):
    User.objects.create_user("ada")
    request = stored({"kind": "command", "params": {"command": "true"}, "targets": {"machines": ["host-1"]}})
    schedule = create(actor="ada", name="nightly", mode="cron", cron="0 2 * * *", request=request)
    Schedule.objects.update(next_at=timezone.now())
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.faults.same_database",
        "CONSOLE_VAR": str(settings.VAR_DIR),
    }
    command = [sys.executable, "-m", "tests.faults.firing", str(schedule.pk), moment]
    worker = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
    assert worker.stdout is not None and worker.stdout.readline() == b"here\n"
    worker.kill()
    worker.wait()
    fire = Fire.objects.get()
    schedule.refresh_from_db()
    assert fire.outcome == "begun" and schedule.next_at > timezone.now() and not Job.objects.exists()
    # As it is a minute later.
    Fire.objects.update(at=fire.at - firing.LOST_AFTER - timedelta(seconds=1))
    assert firing.sweep() == [fire.pk] and firing.sweep() == []
    fire.refresh_from_db()
    assert fire.outcome == "launched" and fire.job == Job.objects.get()
