"""A step that waits: its time is counted from its start, whoever waits, and a person can end it."""

from __future__ import annotations

import threading
from datetime import timedelta

from django.db import connection
from django.db.models import F

from hardware.inventory.models import Machine
from jobs.control import cancel
from jobs.models import JobStep
from jobs.services import launch
from jobs.states import JobState
from tests.faults import kinds, watch
from tests.faults.processes import start_worker, take_over
from tests.worker import work


def launched(machine: Machine, seconds: float):
    kinds.register()
    return launch("single", {"action": {"type": "watch", "seconds": seconds}}, [machine], actor="ada")


def test_a_watch_whose_worker_was_killed_goes_on_where_it_stood(machine: Machine):
    job = launched(machine, 600)
    worker = start_worker(job, "tests.faults.kinds:Single")
    watch.until(lambda: JobStep.objects.filter(job=job, state="running").exists())
    worker.kill()
    JobStep.objects.filter(job=job).update(started_at=F("started_at") - timedelta(seconds=600))
    watch.expire(job)
    take_over(job)
    assert job.state == JobState.SUCCEEDED, job.failure
    watched = job.steps.get().result["watched"]
    assert job.attempt == 2 and watched["seconds"] == 600 and watched["samples"] == {"before": 0, "after": 0}


def test_a_watch_ends_when_the_job_is_cancelled(machine: Machine):
    job = launched(machine, 60)

    def stop() -> None:
        watch.until(lambda: JobStep.objects.filter(job=job, state="running").exists())
        cancel(job, actor="ada")
        connection.close()

    thread = threading.Thread(target=stop)
    thread.start()
    work(job)
    thread.join()
    assert job.state == JobState.CANCELLED and job.steps.get().state == "cancelled"
