"""A plan as the job's options shape it: in batches, with the failures that it bears."""

from __future__ import annotations

from dataclasses import replace

from jobs.failures import PlanRefused
from jobs.options import Options
from jobs.plan import Lane, Plan, Stage


def shaped(made: Plan, options: Options) -> Plan:
    """The plan in batches of ``options.batch_size`` machines, with ``tolerate`` as a number.

    A batch goes through all stages before the next begins. Raises ``PlanRefused`` when the plan can't be cut into
    batches, or has no step before which it is to pause.
    """
    keys = {step.key for _, lane in made.lanes() for step in lane.steps}
    unknown = [key for key in options.pause_before if key not in keys]
    if unknown:
        raise PlanRefused(
            "step-unknown",
            f"No step of the plan is called {unknown[0]}.",
            f"Choose one of {', '.join(sorted(keys))}.",
            "options.pause_before",
        )
    machines = list(dict.fromkeys(lane.machine for _, lane in made.lanes() if lane.machine is not None))
    stages = made.stages
    if 0 < options.batch_size < len(machines):
        stages = _in_batches(made, [name for name in machines if name is not None], options.batch_size)
    return replace(made, stages=stages, tolerate=options.may_fail(len(machines)))


def _in_batches(made: Plan, machines: list[str], size: int) -> list[Stage]:
    for stage in made.stages:
        if {lane.machine for lane in stage.lanes} != set(machines):
            raise PlanRefused(
                "batches-impossible",
                f"{stage.title} does not go over all machines alike, so it can't be cut into batches.",
                "Leave the batch size at 0; a rollout has batches of its own.",
                "options.batch_size",
            )
    batches = [set(machines[start : start + size]) for start in range(0, len(machines), size)]
    return [
        Stage(f"{stage.title} ({number} of {len(batches)})", _lanes_of(stage, batch))
        for number, batch in enumerate(batches, start=1)
        for stage in made.stages
    ]


def _lanes_of(stage: Stage, batch: set[str]) -> list[Lane]:
    return [lane for lane in stage.lanes if lane.machine in batch]
