"""Who comes first where several jobs want the same machines: the higher priority, then the older job.

A job is not begun while one that comes before it waits for a machine of its own: a job on many machines would otherwise
wait for ever while jobs on one machine each pass it by. The order is total and only running jobs hold machines, so no
two jobs can wait for each other.
"""

from __future__ import annotations

from django.db.models import Q

from jobs.admission.obstacle import Obstacle
from jobs.models import Job
from jobs.states import JobState

FOR_A_MACHINE = ("machine", "ahead")


def ahead_of(job: Job) -> Q:
    """Jobs that come before it in line."""
    return Q(priority__gt=job.priority) | Q(priority=job.priority, pk__lt=job.pk)


def overtaking(job: Job) -> Obstacle | None:
    """The job before it in line that waits for one of its machines."""
    if not job.mutates:
        return None
    machines = job.machines.values("pk")
    first = (
        Job.objects.filter(ahead_of(job), state=JobState.WAITING, waits_on__reason__in=FOR_A_MACHINE, mutates=True)
        .filter(machines__in=machines)
        .order_by("-priority", "pk")
        .values_list("pk", flat=True)
        .first()
    )
    return None if first is None else Obstacle("ahead", job=first)
