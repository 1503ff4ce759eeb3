"""The batches of a job: machines that are worked on before the next ones begin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from jobs.models import Job
from jobs.pages import wording
from jobs.states import StepState

if TYPE_CHECKING:
    from jobs.pages.grid import Row

# Batches told one by one: those around the first that is not done.
TOLD, BEFORE = 8, 2


@dataclass
class Batch:
    """``state`` is ``succeeded``, ``failed``, ``running`` or ``pending``."""

    number: int
    title: str
    machines: int
    done: int
    bad: int
    state: str


@dataclass
class Batches:
    """``told`` are some of ``total``; ``earlier`` and ``later`` ones are left out around them."""

    told: list[Batch]
    total: int
    earlier: int
    later: int


def of(job: Job, rows: Sequence[Row]) -> Batches | None:
    """Numbers the batch of each row from 1; ``None`` (and 0) when all machines begin together.

    A row comes with the first stage of its machine: machines of one batch share it.
    """
    stages = sorted({row.batch for row in rows})
    if len(stages) < 2:
        for row in rows:
            row.batch = 0
        return None
    numbers = {stage: number for number, stage in enumerate(stages, 1)}
    titles = _titles(job.pk, job.plan_hash)
    made = [Batch(number, wording.title(titles[stage]), 0, 0, 0, "") for stage, number in numbers.items()]
    begun: set[int] = set()
    for row in rows:
        batch = made[numbers[row.batch] - 1]
        row.batch = batch.number
        batch.machines += 1
        if row.state == StepState.SUCCEEDED:
            batch.done += 1
        elif row.state not in (StepState.PENDING, StepState.RUNNING):
            batch.bad += 1
        if row.state != StepState.PENDING:
            begun.add(batch.number)
    for batch in made:
        batch.state = _state(batch, batch.number in begun)
    undone = next((batch.number for batch in made if batch.state not in ("succeeded", "failed")), len(made))
    first = max(0, min(undone - 1 - BEFORE, len(made) - TOLD))
    told = made[first : first + TOLD]
    return Batches(told, len(made), first, len(made) - first - len(told))


def _state(batch: Batch, begun: bool) -> str:
    if batch.done == batch.machines:
        return "succeeded"
    if not begun:
        return "pending"
    return "failed" if batch.done + batch.bad == batch.machines else "running"


@lru_cache(maxsize=256)
def _titles(job: int, plan_hash: str) -> tuple[str, ...]:
    """The titles of a plan's stages. A plan never changes, and one of 500 machines takes a while to read."""
    plan = Job.objects.values_list("plan", flat=True).get(pk=job)
    return tuple(stage["title"] for stage in plan["stages"])
