"""Running a job again: on all of its machines or on those it did not finish, with its parameters or with edited ones.

A retry is a new job with a plan of its own, made from what is true now; it names the job that it runs again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Protocol

from hardware.inventory.models import Machine
from jobs.failures import PlanRefused
from jobs.models import Job
from jobs.options import Options
from jobs.pipelines import references
from jobs.secrets.services import check_given_again
from jobs.services import kind_of
from jobs.states import DONE_STEPS, JobState, StepState

Which = Literal["failed", "all"]


class Done(Protocol):
    """What of a step says whether it was done."""

    @property
    def state(self) -> str: ...

    @property
    def compensates(self) -> bool: ...

    @property
    def machine_id(self) -> int | None: ...


def machines_of(job: Job, which: Which, steps: Sequence[Done] | None = None) -> list[Machine]:
    """The machines to run it on again. ``failed`` are those on which not every step was done, or one was undone."""
    machines = list(job.machines.all())
    if which == "all" or job.state == JobState.SUCCEEDED:
        return machines if which == "all" else []
    done: set[int | None] = set()
    open_still: set[int | None] = set()
    every: Iterable[Done] = job.steps.all() if steps is None else steps
    for step in every:
        idle = StepState.PENDING if step.compensates else None
        whole = step.state == idle if idle else step.state in DONE_STEPS
        (done if whole else open_still).add(step.machine_id)
    return [machine for machine in machines if machine.pk not in done - open_still]


def request_of(
    job: Job, which: Which, params: Mapping[str, Any] | None = None, options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What to plan or launch: ``slug``, ``params`` (the job's own, with the edited ones in their place), ``machines``,
    ``options`` (likewise, but for a time before which it was not to begin).

    Raises ``PlanRefused`` when there is nothing to run again.
    """
    check(job)
    check_given_again(job.plan, params or {})
    machines = machines_of(job, which)
    if not machines and which == "failed" and (job.state == JobState.SUCCEEDED or job.machines.exists()):
        raise PlanRefused(
            "nothing-failed", f"Job {job.pk} failed on no machine.", "Run it again on all of them.", "machines"
        )
    # What was left empty is left out, as in a form: a default may be what a kind does not take from a person. So is
    # what the kind no longer has.
    known = kind_of(job.kind).Params().fields
    own = {name: value for name, value in job.params.items() if name in known and value not in ("", None)}
    how = replace(Options.from_json(job.options), not_before=None)
    # A job that never came to its turn has no values yet for what others make.
    given = references.resolve({**own, **(params or {})}, machines)
    return {
        "slug": job.kind,
        "params": given,
        "machines": machines,
        "options": Options.from_json({**how.to_json(), **(options or {})}),
    }


def check(job: Job) -> None:
    """Raise ``PlanRefused`` while the job is not over: what it leaves behind is not known yet."""
    if not job.ended:
        raise PlanRefused(
            "job-not-ended", f"Job {job.pk} has not ended.", "Wait for its end, or cancel it; then run it again."
        )
