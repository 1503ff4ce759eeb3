"""Whether what a job needs has ended well enough, and on which machines it may go on.

A job that failed on no more machines than its options tolerate has ended well enough: those machines stay behind, the
others go on. What a job left undone a retry of it may have done since, so its whole chain of retries counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from hardware.statements import Prepared
from jobs.admission.obstacle import Obstacle
from jobs.models import Job, JobStep
from jobs.pipelines.models import Deferral, Dependency
from jobs.states import DONE_STEPS, ENDED, JobState, StepState

Verdict = Literal["open", "met", "failed"]

# Every claim comes by here.
_NEEDS = Prepared(
    Dependency,
    lambda rows, job_id: rows.filter(job=job_id).order_by("needs_id").values_list("needs", "needs__state"),
    int,
)


def unmet(job: Job) -> Obstacle | None:
    """The rule of admission: the first job that it needs and that has not ended; else that it is to be settled.

    Settled (``jobs.pipelines.deferral``) is a job that lacks its plan, or that a failed need keeps from ever beginning.
    """
    needs = _NEEDS.rows(job.pk)
    for need, state in needs:
        if state not in ENDED:
            return Obstacle("dependency", job=need)
    if job.plan_hash and all(state == JobState.SUCCEEDED or _met(need) for need, state in needs):
        return None
    # It goes on waiting for the one that ended: the reconciler looks at such a job at once, should this worker die.
    ended = [need for need, _ in needs]
    return Obstacle("dependency", job=job.waits_for_id if job.waits_for_id in ended else ended[-1] if ended else None)


def _met(need: int) -> bool:
    return verdict(Job.objects.get(pk=need)) == "met"


def needs_of(job: Job) -> list[Job]:
    """The jobs that it needs, the oldest first."""
    return [row.needs for row in Dependency.objects.filter(job=job).select_related("needs").order_by("needs_id")]


def verdict(need: Job) -> Verdict:
    """How it stands with a job that another one needs."""
    if need.state not in ENDED:
        return "open"
    if need.state == JobState.SUCCEEDED:
        return "met"
    if need.state not in (JobState.FAILED, JobState.INTERRUPTED):
        return "failed"
    asked, done = asked_for(need), done_on(need)
    tolerated = int(need.plan.get("tolerate", 0))
    return "met" if done and 0 < len(asked - done) <= tolerated else "failed"


def asked_for(job: Job) -> set[int]:
    """The machines that a job was asked for, also those that stayed behind before it began."""
    deferral = Deferral.objects.filter(job=job).first()
    if deferral is not None:
        return {int(machine) for machine in deferral.wanted}
    return set(job.machines.values_list("pk", flat=True))


def done_on(job: Job) -> set[int]:
    """The machines on which every step was done, and none undone."""
    done: set[int] = set()
    undone: set[int] = set()
    steps = JobStep.objects.filter(job=job, machine__isnull=False)
    for machine, state, compensates in steps.values_list("machine", "state", "compensates"):
        whole = state == StepState.PENDING if compensates else state in DONE_STEPS
        (done if whole else undone).add(machine)
    return done - undone


def chain(job: Job) -> Iterator[Job]:
    """The job, the one that it runs again, and so on."""
    seen: Job | None = job
    while seen is not None:
        yield seen
        seen = seen.retry_of


def survivors(wanted: set[int], needs: list[Job]) -> dict[int, Job | None]:
    """Of the machines ``wanted``, each with the needed job that did not get through on it; ``None``: it may go on."""
    found: dict[int, Job | None] = dict.fromkeys(sorted(wanted))
    for need in needs:
        asked: set[int] = set()
        done: set[int] = set()
        for job in chain(need):
            asked |= asked_for(job)
            done |= done_on(job)
        for machine in found:
            if machine in asked - done and found[machine] is None:
                found[machine] = need
    return found
