"""The rows of the history: what a list and an export show of a job, read without its plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from jobs.history.query import Query
from jobs.models import Job, JobTarget

# Jobs that are read at once while exporting.
BATCH = 500


@dataclass
class Row:
    """A job and the names of its machines."""

    job: Job
    machines: list[str] = field(default_factory=list)


def read(ids: Sequence[int]) -> list[Row]:
    """The jobs in the order of ``ids``; one that is gone since is left out."""
    jobs = Job.objects.defer("plan", "traceback").in_bulk(ids)
    rows = {pk: Row(jobs[pk]) for pk in ids if pk in jobs}
    names = JobTarget.objects.filter(job__in=list(rows)).order_by("machine__name")
    for job, name in names.values_list("job_id", "machine__name"):
        rows[job].machines.append(name)
    return list(rows.values())


def batches(query: Query) -> Iterator[list[Row]]:
    """All matching jobs, newest first, a batch at a time: no transaction stays open, no more than one batch is held."""
    before: int | None = None
    while True:
        ids = query.ids(BATCH, before=before)
        if ids:
            yield read(ids)
        if len(ids) < BATCH:
            return
        before = ids[-1]
