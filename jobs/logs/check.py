"""Whether a stored log still is what its record says: read again from its first byte, hashed, compared."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from jobs.logs.reading import sources, whole
from jobs.models import Job, JobStep


@dataclass(frozen=True)
class Checked:
    """``length`` and ``sha256`` of what is stored; ``intact`` says whether the record has the same.

    ``None``: the record says nothing yet. ``machine`` and ``step`` are set where it is the log of one step.
    """

    length: int
    sha256: str
    intact: bool | None
    machine: str | None = None
    step: str = ""
    step_id: int | None = None


def check(job: Job) -> tuple[Checked, list[Checked]]:
    """The whole log, and the last run of each step that ended with a hash."""
    everything = hashlib.sha256()
    length = 0
    by_source: dict[str, Any] = {}
    sizes: dict[str, int] = {}
    for piece in whole(job.pk):
        everything.update(piece.data)
        length += piece.size
        by_source.setdefault(piece.source, hashlib.sha256()).update(piece.data)
        sizes[piece.source] = sizes.get(piece.source, 0) + piece.size
    recorded = dict(JobStep.objects.filter(job=job).exclude(log_sha256="").values_list("pk", "log_sha256"))
    # The last one of a step that was begun more than once: it is the one that its record speaks of.
    last = {source.step_id: source for source in sources(job.pk) if source.name in by_source}
    steps = []
    for source in last.values():
        if source.step_id in recorded:
            digest = by_source[source.name].hexdigest()
            same = digest == recorded[source.step_id]
            size = sizes[source.name]
            steps.append(Checked(size, digest, same, source.machine, source.step, source.step_id))
    digest = everything.hexdigest()
    intact = (digest, length) == (job.log_sha256, job.log_length) if job.log_sha256 else None
    return Checked(length, digest, intact), steps
