"""The rules, in the order in which they are asked."""

from __future__ import annotations

from collections.abc import Callable

from jobs.admission.limits import crowded
from jobs.admission.line import overtaking
from jobs.admission.obstacle import Obstacle
from jobs.admission.time import too_early
from jobs.admission.windows import closed
from jobs.models import Job
from jobs.pipelines.dependency import unmet
from jobs.schedules.order import behind

RULES: tuple[Callable[[Job], Obstacle | None], ...] = (unmet, behind, too_early, closed, crowded, overtaking)


def obstacle(job: Job) -> Obstacle | None:
    """The first thing in the job's way. Call inside the transaction that claims it."""
    for rule in RULES:
        found = rule(job)
        if found is not None:
            return found
    return None
