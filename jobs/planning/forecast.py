"""How long a plan may take, out of what the same steps of the same kind took before."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count

from jobs.models import Job, JobStep, JobTarget
from jobs.states import StepState

# What is looked at, however long the history: the last jobs of the kind, and so many of their steps, newest first.
JOBS = 50
STEPS = 4000
# Of jobs on about as many machines: up to so many times as many, or as few.
ALIKE = 3
# With fewer of those, jobs on any number of machines are taken.
ENOUGH = 3


@dataclass(frozen=True)
class Expected:
    """Seconds; ``runs`` is how many earlier ones it is reckoned from, 0 when it is a sum of such."""

    median_s: float
    p90_s: float
    runs: int = 0

    def to_json(self) -> dict[str, Any]:
        return {"median_s": self.median_s, "p90_s": self.p90_s, "runs": self.runs}


@dataclass(frozen=True)
class Forecast:
    """``steps`` by key. ``total`` leaves out the ``unknown``: steps that were never run before."""

    steps: dict[str, Expected] = field(default_factory=dict)
    total: Expected | None = None
    unknown: list[str] = field(default_factory=list)

    def lane(self, steps: Iterable[Mapping[str, Any]]) -> Expected | None:
        """Of the steps of one lane, one after another; ``None`` when nothing is known of any."""
        known = [self.steps[step["key"]] for step in steps if step["key"] in self.steps]
        if not known:
            return None
        return Expected(_round(sum(e.median_s for e in known)), _round(sum(e.p90_s for e in known)))

    def to_json(self) -> dict[str, Any]:
        total = self.total.to_json() if self.total else {"median_s": None, "p90_s": None}
        return {"median_s": total["median_s"], "p90_s": total["p90_s"], "unknown": self.unknown}


def of_plan(slug: str, plan: Mapping[str, Any], parallel: int = 50) -> Forecast:
    """The forecast for a plan's JSON; ``parallel`` machines of a stage are worked on at a time."""
    lanes = [lane for stage in plan["stages"] for lane in stage["lanes"]]
    keys = list(dict.fromkeys(step["key"] for lane in lanes for step in lane["steps"]))
    machines = len({lane["machine"] for lane in lanes if lane["machine"]})
    taken = _durations(slug, machines)
    steps = {key: _expected(taken[key]) for key in keys if key in taken}
    made = Forecast(steps, None, [key for key in keys if key not in taken])
    median = p90 = 0.0
    for stage in plan["stages"]:
        each = [lane for lane in (made.lane(lane["steps"]) for lane in stage["lanes"]) if lane is not None]
        if each:
            turns = math.ceil(len(stage["lanes"]) / max(1, parallel))
            median += turns * max(lane.median_s for lane in each)
            p90 += turns * max(lane.p90_s for lane in each)
    return Forecast(steps, Expected(_round(median), _round(p90)) if steps else None, made.unknown)


def _durations(slug: str, machines: int) -> dict[str, list[float]]:
    """Step key -> seconds that it took, of jobs on about as many machines where there are enough of them."""
    # Whatever their state: what is done of a job that runs counts too, and one index gives the newest first.
    ids = list(Job.objects.filter(kind=slug).order_by("-pk").values_list("pk", flat=True)[:JOBS])
    counted = JobTarget.objects.filter(job__in=ids).order_by().values_list("job").annotate(Count("machine"))
    on = dict(counted)
    rows = (
        JobStep.objects.filter(
            job__in=ids, state=StepState.SUCCEEDED, compensates=False, started_at__isnull=False, ended_at__isnull=False
        )
        .order_by("-job_id")
        .values_list("job", "key", "started_at", "ended_at")[:STEPS]
    )
    every: dict[str, list[float]] = defaultdict(list)
    alike: dict[str, list[float]] = defaultdict(list)
    for job, key, started, ended in rows:
        assert started is not None and ended is not None
        took = max(0.0, (ended - started).total_seconds())
        every[key].append(took)
        if machines / ALIKE <= on.get(job, 0) <= machines * ALIKE:
            alike[key].append(took)
    return {key: alike[key] if len(alike[key]) >= ENOUGH else every[key] for key in every}


def _expected(taken: Sequence[float]) -> Expected:
    ordered = sorted(taken)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return Expected(_round(median), _round(ordered[math.ceil(0.9 * len(ordered)) - 1]), len(ordered))


def _round(seconds: float) -> float:
    return round(seconds, 1)
