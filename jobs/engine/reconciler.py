"""Finding the jobs that could go on and that nobody works on: what the database says, whatever became of wake-ups."""

from __future__ import annotations

from django.db.models import Q
from django.db.models.functions import Now

from jobs.engine.dispatch import wake
from jobs.engine.leases import abandoned
from jobs.models import Job
from jobs.states import ENDED, JobState


def reconcile() -> list[int]:
    """Wake workers for every such job; returns their ids, the first in line first."""
    could = Q(state=JobState.QUEUED) | abandoned() | Q(state=JobState.WAITING) & _worth_another_look()
    found = list(Job.objects.filter(could).order_by("-priority", "pk").values_list("pk", "queue"))
    for job_id, queue in found:
        wake(job_id, queue)
    return [job_id for job_id, _ in found]


def _worth_another_look() -> Q:
    """What a waiting job waited for may be over."""
    return Q(wake_at__lte=Now()) | Q(wake_at=None) | Q(waits_for__state__in=ENDED)
