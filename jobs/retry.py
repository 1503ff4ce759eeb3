"""Running a job again: on all of its machines or on those it did not finish, with its parameters or with edited ones.

A retry is a new job with a plan of its own, made from what is true now; it names the job that it runs again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from hardware.inventory.models import Machine
from jobs.failures import PlanRefused
from jobs.models import Job, JobStep
from jobs.states import DONE_STEPS, JobState, StepState

Which = Literal["failed", "all"]


def machines_of(job: Job, which: Which, steps: Sequence[JobStep] | None = None) -> list[Machine]:
    """The machines to run it on again. ``failed`` are those on which not every step was done, or one was undone."""
    machines = list(job.machines.all())
    if which == "all" or job.state == JobState.SUCCEEDED:
        return machines if which == "all" else []
    done: set[int | None] = set()
    open_still: set[int | None] = set()
    for step in job.steps.all() if steps is None else steps:
        idle = StepState.PENDING if step.compensates else None
        whole = step.state == idle if idle else step.state in DONE_STEPS
        (done if whole else open_still).add(step.machine_id)
    return [machine for machine in machines if machine.pk not in done - open_still]


def request_of(job: Job, which: Which, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What to plan or launch: ``slug``, ``params`` (the job's own, with the edited ones in their place), ``machines``.

    Raises ``PlanRefused`` when there is nothing to run again.
    """
    check(job)
    machines = machines_of(job, which)
    if not machines and which == "failed" and (job.state == JobState.SUCCEEDED or job.machines.exists()):
        raise PlanRefused(
            "nothing-failed", f"Job {job.pk} failed on no machine.", "Run it again on all of them.", "machines"
        )
    # What was left empty is left out, as in a form: a default may be what a kind does not take from a person.
    own = {name: value for name, value in job.params.items() if value not in ("", None)}
    return {"slug": job.kind, "params": {**own, **(params or {})}, "machines": machines}


def check(job: Job) -> None:
    """Raise ``PlanRefused`` while the job is not over: what it leaves behind is not known yet."""
    if not job.ended:
        raise PlanRefused(
            "job-not-ended", f"Job {job.pk} has not ended.", "Wait for its end, or cancel it; then run it again."
        )
