"""A job that its schedule queued behind the one before begins when that one has ended."""

from __future__ import annotations

from jobs.admission.obstacle import Obstacle
from jobs.models import Job
from jobs.schedules.models import Fire
from jobs.states import ENDED


def behind(job: Job) -> Obstacle | None:
    """The job of the schedule's time before."""
    # Every claim comes by here.
    if not job.created_by.startswith("schedule:"):
        return None
    before = Fire.objects.filter(job=job, after__isnull=False).exclude(after__state__in=ENDED)
    found = before.values_list("after", "schedule").first()
    return Obstacle("dependency", job=found[0], values={"schedule": found[1]}) if found else None
