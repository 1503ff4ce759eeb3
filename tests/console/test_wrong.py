from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from console import health
from console.wrong import Trouble, troubles
from jobs.models import Job
from jobs.services import launch
from tests.redis_server import Redis

LATE = timedelta(minutes=5)


@pytest.fixture
def queued(transactional_db, machine) -> Job:
    job = launch("command", {"command": "true"}, [machine], actor="ada")
    Job.objects.update(created_at=timezone.now() - LATE)
    return job


def waiting() -> list[Trouble]:
    return [trouble for trouble in troubles([], []) if "wait" in trouble.title]


def test_overview_says_that_jobs_wait_because_no_worker_runs(queued: Job, redis_server: Redis):
    health.worker_lives(["compute"], "w")
    (trouble,) = waiting()
    assert (trouble.rank, trouble.title) == (0, "1 job waits for a worker")
    assert trouble.why == "No worker takes jobs of: machines. Start one; nothing is lost."
    assert trouble.url == "/jobs/?state=queued"
    health.worker_lives(["machines"], "w")
    assert waiting() == []


def test_or_because_redis_is_away(queued: Job):
    (trouble,) = waiting()
    assert trouble.why.startswith("Redis does not answer")


def test_one_that_was_queued_a_moment_ago_is_no_trouble(queued: Job):
    Job.objects.update(created_at=timezone.now())
    assert waiting() == []
