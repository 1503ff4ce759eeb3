"""Not before the time that was asked for."""

from __future__ import annotations

from django.utils import timezone

from jobs.admission.obstacle import Obstacle
from jobs.models import Job
from jobs.options import Options


def too_early(job: Job) -> Obstacle | None:
    moment = Options.from_json(job.options).not_before
    return Obstacle("time", until=moment) if moment is not None and moment > timezone.now() else None
