"""Where a job came from and what became of it: who, from what, with which parameters, through which states."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext

from jobs import registry
from jobs.depot.models import Artifact
from jobs.kind import Kind
from jobs.models import Job, JobTransition
from jobs.options import Options
from jobs.pages import options, waits
from jobs.pipelines.models import Dependency, Pipeline
from jobs.remedies import shown as remedies

# Moves that are told: the first ones and, of a job that waited long, the last.
FIRST, LAST = 4, 24


@dataclass
class Move:
    """``state`` is what the job became; ``why`` in a few words."""

    at: datetime
    state: str
    actor: str
    why: str


@dataclass
class Moves:
    """``hidden`` ones lie between ``first`` and ``last``."""

    first: list[Move]
    last: list[Move]
    hidden: int = 0


def moves(job: Job) -> Moves:
    """The job's way from state to state. A move of a job to where it was already is told once."""
    rows = list(JobTransition.objects.filter(job=job).order_by("id"))
    told: list[Move] = []
    for row in rows:
        made = Move(row.at, row.to_state, row.actor, waits.cause(row.reason))
        if told and (told[-1].state, told[-1].why) == (made.state, made.why):
            continue
        told.append(made)
    if len(told) <= FIRST + LAST:
        return Moves(told, [])
    return Moves(told[:FIRST], told[-LAST:], len(told) - FIRST - LAST)


def about(job: Job) -> dict[str, Any]:
    """What stands under Provenance."""
    return {
        "alerts": remedies.of_job(job),
        "params": _params(job),
        "how": options.words(Options.from_json(job.options)),
        "pipeline": Pipeline.objects.filter(stages__job=job).first(),
        "after": Dependency.objects.filter(job=job).order_by("needs_id").values_list("needs", flat=True),
        "retries": Job.objects.filter(retry_of=job).order_by("pk").values_list("pk", flat=True)[:50],
    }


def _params(job: Job) -> list[dict[str, Any]]:
    """The parameters under the labels of their form, an artifact with its name and hash instead of its number."""
    kind = registry.all_kinds().get(job.kind)
    named = kind.artifacts if kind else {}
    fields = kind.Params().fields if kind else {}
    artifacts = Artifact.objects.in_bulk([value for name, value in job.params.items() if name in named and value])
    return [
        {
            "label": str(fields[name].label or "") if name in fields else "",
            "name": name,
            "value": _said(kind, name, value),
            "artifact": artifacts.get(value) if name in named else None,
        }
        for name, value in job.params.items()
        if value not in (None, "")
    ]


def _said(kind: Kind | None, name: str, value: Any) -> str:
    offered = (kind.offers(name) if kind else None) or []
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    return dict(offered).get(str(value), str(value))
