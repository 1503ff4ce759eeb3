"""Starting a pipeline, stopping it, and going on where it broke."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import transaction

from hardware.events import audit
from hardware.inventory.models import Machine
from jobs import services
from jobs.control import cancel as cancel_job
from jobs.depot.services import Depot
from jobs.failures import PlanRefused
from jobs.kind import Target, check_names
from jobs.models import Job
from jobs.options import Options
from jobs.pipelines import references, registry
from jobs.pipelines.deferral import defer
from jobs.pipelines.definition import Definition, Stage
from jobs.pipelines.dependency import asked_for, chain, done_on, survivors, verdict
from jobs.pipelines.models import Pipeline, PipelineStage
from jobs.pipelines.standing import Standing
from jobs.plan import Plan


@dataclass(frozen=True)
class Outline:
    """What starting it would do: the first job's plan, exactly, and the stages, which are planned in their turn."""

    definition: Definition
    params: dict[str, Any]
    stages: list[Stage]
    plan: Plan
    first: list[Machine]
    options: Options


def outline(
    slug: str, params: Mapping[str, Any], machines: Sequence[Machine], options: Mapping[str, Any] | None = None
) -> Outline:
    """Changes nothing. Raises ``PlanRefused``."""
    definition = registry.get(slug)
    how = Options.checked({"tolerate": definition.tolerate, **(options or {})})
    if how.pause_before:
        raise PlanRefused(
            "options-invalid",
            "A pipeline does not pause before a step: its stages have steps of their own.",
            "Pause the stage's job, or ask for approval of each stage.",
            "options.pause_before",
        )
    check_names(definition, params)
    checked = definition.Params(data=dict(params))
    if not checked.is_valid():
        field, problem = next(iter(checked.errors.items()))
        text = str(problem[0]) if isinstance(problem, list) and problem else str(problem)
        raise PlanRefused("params-invalid", f"{field}: {text}", f"Correct {field}.", str(field))
    clean = dict(checked.validated_data)
    if definition.targets == "many" and not machines:
        raise PlanRefused(
            "targets-invalid", f"{definition.title} takes at least one machine.", "Choose machines.", "targets"
        )
    if definition.targets == "optional" and len(machines) > 1:
        raise PlanRefused(
            "targets-invalid", f"{definition.title} takes one machine at most.", "Choose one machine.", "targets"
        )
    stages = definition.stages(clean, [Target(machine.name, machine.read) for machine in machines], Depot())
    first = [machine for machine in machines if machine.name in stages[0].machines]
    given = references.resolve(stages[0].params, first)
    plan, _ = services.plan(stages[0].kind, given, first, how)
    return Outline(definition, clean, stages, plan, first, how)


def start(
    slug: str,
    params: Mapping[str, Any],
    machines: Sequence[Machine],
    *,
    actor: str,
    options: Mapping[str, Any] | None = None,
    propose: bool = False,
    approved_hash: str = "",
    once: str = "",
) -> Pipeline:
    """Launch the first stage's job and store the others, each to come after those before it; in one transaction.

    With ``approved_hash`` only if the first job's plan is still that one. ``propose``: each stage's plan has to be
    approved by another person when it is made. With ``once`` the same start again gives the pipeline that is there.
    Raises ``PlanRefused``.
    """
    if once and (there := Job.objects.filter(once=once).first()) is not None:
        return Pipeline.objects.get(stages__job=there)
    found = outline(slug, params, machines, options)
    pipeline = Pipeline(
        kind=slug,
        params=found.params,
        options=found.options.to_json(),
        propose=propose,
        created_by=actor,
    )

    def arrange(job: Job) -> None:
        pipeline.save()
        pipeline.machines.set(machines)
        rows = [
            PipelineStage(
                pipeline=pipeline, position=position, name=stage.name, kind=stage.kind, params=dict(stage.params)
            )
            for position, stage in enumerate(found.stages)
        ]
        rows[0].job = job
        PipelineStage.objects.bulk_create(rows)
        by_name = {machine.name: machine for machine in machines}
        wanted = {stage.name: [by_name[name] for name in stage.machines] for stage in found.stages}
        _line_up(pipeline, list(pipeline.stages.all()), 1, wanted, actor)
        names = sorted(by_name)
        audit("pipeline.start", f"pipeline:{pipeline.pk}", actor=actor, kind=slug, first=job.pk, machines=names)

    first = found.stages[0]
    launched = services.launch(
        first.kind,
        references.resolve(first.params, found.first),
        found.first,
        actor=actor,
        approved_hash=approved_hash,
        once=once,
        options=found.options,
        propose=propose,
        arrange=arrange,
    )
    return pipeline if pipeline.pk else Pipeline.objects.get(stages__job=launched)


def _line_up(
    pipeline: Pipeline,
    rows: Sequence[PipelineStage],
    begin: int,
    wanted: Mapping[str, Sequence[Machine]],
    actor: str,
) -> None:
    """Store the jobs of the stages from ``begin`` on, each after all before it."""
    options = replace(Options.from_json(pipeline.options), not_before=None)
    for row in rows[begin:]:
        before = {other.name: other.job_id for other in rows[: row.position]}
        jobs = {name: job for name, job in before.items() if job is not None}
        row.job = defer(
            row.kind,
            references.bind(row.params, jobs),
            wanted[row.name],
            list(jobs.values()),
            actor=actor,
            options=options,
            propose=pipeline.propose,
            retry_of=row.job,
        )
        row.save(update_fields=["job"])


def cancel(pipeline: Pipeline, *, actor: str) -> bool:
    """Ask every job of it that has not ended to stop, the last one first; ``False`` when it was over."""
    with transaction.atomic():
        asked = False
        for stage in reversed(Standing(pipeline).stages):
            if stage.job is not None and not stage.ended:
                said = {
                    "code": "pipeline-cancelled",
                    "cause": f"Pipeline {pipeline.pk} was cancelled.",
                    "mend": "Retry the pipeline to go on from here.",
                }
                asked = cancel_job(stage.job, actor=actor, reason=said) or asked
        if asked:
            audit("pipeline.cancel", f"pipeline:{pipeline.pk}", actor=actor)
    return asked


def retry(pipeline: Pipeline, *, actor: str) -> Job:
    """Run the stage that ended badly again, on the machines that it did not finish, and go on from there.

    Raises ``PlanRefused`` while it runs, when nothing of it failed, or when the stage can't be planned now.
    """
    standing = Standing(pipeline)
    broken = standing.broken
    if broken is None:
        raise PlanRefused(
            "nothing-failed",
            f"No stage of pipeline {pipeline.pk} ended badly.",
            "Wait for its end, or start it again for the machines that stayed behind.",
        )
    stage, job = broken.stage, broken.job
    rows = [row.stage for row in standing.stages]
    before = {row.name: row.job for row in rows[: stage.position] if row.job is not None}
    wanted = asked_for(job) if job is not None else set(pipeline.machines.values_list("pk", flat=True))
    done: set[int] = set()
    for earlier in chain(job) if job is not None else ():
        done |= done_on(earlier)
    going = [pk for pk, lost in survivors(wanted - done, list(before.values())).items() if lost is None]
    machines = list(Machine.objects.filter(pk__in=going).order_by("name"))
    params = references.bind(stage.params, {name: found.pk for name, found in before.items()})
    options = replace(Options.from_json(pipeline.options), not_before=None)
    return services.launch(
        stage.kind,
        references.resolve(params, machines),
        machines,
        actor=actor,
        options=options,
        propose=pipeline.propose,
        retry_of=job,
        arrange=_go_on(pipeline, rows, stage, actor),
    )


def carry_on(earlier: Job, *, actor: str) -> Callable[[Job], None] | None:
    """What to do with the job that runs ``earlier`` again: take its place in the pipeline that broke there."""
    stage = PipelineStage.objects.filter(job=earlier).select_related("pipeline").first()
    if stage is None or not earlier.ended or verdict(earlier) == "met":
        return None
    rows = list(stage.pipeline.stages.order_by("position"))
    return _go_on(stage.pipeline, rows, rows[stage.position], actor)


def _go_on(
    pipeline: Pipeline, rows: Sequence[PipelineStage], stage: PipelineStage, actor: str
) -> Callable[[Job], None]:
    def arrange(job: Job) -> None:
        # Of two who go on at the same time one does.
        if not PipelineStage.objects.filter(pk=stage.pk, job=stage.job).update(job=job):
            raise PlanRefused(
                "nothing-failed",
                f"No stage of pipeline {pipeline.pk} ended badly.",
                "Wait for its end, or start it again for the machines that stayed behind.",
            )
        stage.job = job
        wanted: dict[str, list[Machine]] = {}
        for row in rows[stage.position + 1 :]:
            old = row.job
            if old is not None and not old.ended:
                said = {
                    "code": "dependency-failed",
                    "cause": f"Job {job.pk} takes the place of the one that it needed.",
                    "mend": "Look at the pipeline: another job has taken its place.",
                }
                cancel_job(old, actor=actor, reason=said)
            pks = asked_for(old) if old is not None else set(pipeline.machines.values_list("pk", flat=True))
            wanted[row.name] = list(Machine.objects.filter(pk__in=pks).order_by("name"))
        _line_up(pipeline, rows, stage.position + 1, wanted, actor)
        audit("pipeline.retry", f"pipeline:{pipeline.pk}", actor=actor, stage=stage.name, job=job.pk)

    return arrange
