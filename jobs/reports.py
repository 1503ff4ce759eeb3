"""The whole report of a job.

A job's result has what the last line of its log had, which is kept short; the rest lies in the depot, as an artifact of
the type that the kind names.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from jobs import registry
from jobs.depot.models import Artifact
from jobs.models import Job

# A report of a hundred thousand layers is half of it.
MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class Told:
    """``whole`` is false when the depot has no more of it than the job's result has."""

    report: dict[str, Any]
    whole: bool


def of(job: Job) -> Told:
    """The job's report; empty when it has none."""
    short: dict[str, Any] = job.result.get("report") or {}
    kind = registry.all_kinds().get(job.kind)
    made = job.result.get("artifacts") or ()
    ids = [one["id"] for one in made if kind and kind.report_artifact and one["type"] == kind.report_artifact]
    for artifact in Artifact.objects.filter(pk__in=ids, size__lte=MOST_BYTES):
        try:
            report = json.loads(artifact.path.read_bytes())
        except (OSError, ValueError):
            # Its bytes were lost or damaged: what the job itself knows is still right.
            continue
        if isinstance(report, dict):
            return Told(report, True)
    return Told(short, False)
