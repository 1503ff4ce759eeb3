"""How a pipeline stands: what its stages' jobs say, and nothing else, so that no worker's death can make it wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from jobs.models import Job
from jobs.pipelines.dependency import asked_for, chain, done_on, verdict
from jobs.pipelines.models import Deferral, Pipeline, PipelineStage
from jobs.states import ENDED, IDLE, JobState


@dataclass(frozen=True)
class StageStanding:
    """A stage with its job; ``None`` when the job's row was removed."""

    stage: PipelineStage
    job: Job | None

    @property
    def state(self) -> JobState:
        return JobState(self.job.state) if self.job is not None else JobState.CANCELLED

    @cached_property
    def met(self) -> bool:
        """It ended well enough for the next one to begin."""
        return self.job is not None and verdict(self.job) == "met"

    @property
    def ended(self) -> bool:
        return self.state in ENDED


class Standing:
    """A pipeline as it is now."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        rows: Sequence[PipelineStage] = list(
            pipeline.stages.select_related("job").defer("job__traceback").order_by("position")
        )
        self.stages = [StageStanding(row, row.job) for row in rows]

    @property
    def current(self) -> StageStanding | None:
        """The first stage that is not over, or that ended the pipeline."""
        return next((stage for stage in self.stages if not stage.met), None)

    @property
    def ended(self) -> bool:
        return all(stage.ended for stage in self.stages)

    @property
    def state(self) -> JobState:
        """That of the stage that counts; while a job of it is at work, what it does."""
        current = self.current
        if current is None:
            return JobState.SUCCEEDED
        if not current.ended and current.state not in IDLE and current is not self.stages[0]:
            # Between two stages: the next one waits for a machine, for a window, or to be planned.
            return JobState.RUNNING if current.state in (JobState.QUEUED,) else current.state
        return current.state

    @property
    def broken(self) -> StageStanding | None:
        """The stage that ended as it must not: where a retry goes on."""
        current = self.current
        return current if current is not None and current.ended else None

    def left_behind(self) -> dict[str, str]:
        """Machine -> the name of the stage that it did not get through."""
        names = dict(self.pipeline.machines.values_list("pk", "name"))
        found: dict[str, str] = {}
        for stage in self.stages:
            if stage.job is None or not stage.ended:
                continue
            if stage.state == JobState.SUCCEEDED and not stage.job.retry_of_id:
                deferral = Deferral.objects.filter(job=stage.job).first()
                for name in deferral.left_behind if deferral else ():
                    found.setdefault(name, stage.stage.name)
                continue
            asked: set[int] = set()
            done: set[int] = set()
            for job in chain(stage.job):
                asked |= asked_for(job)
                done |= done_on(job)
            for machine in asked - done:
                found.setdefault(names.get(machine, "?"), stage.stage.name)
        return found
