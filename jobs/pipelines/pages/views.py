"""Pipelines: what was started, one of them with its stages, stopping it and going on where it broke."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from jobs.depot.models import Artifact
from jobs.failures import PlanRefused
from jobs.models import Job
from jobs.pages import causes
from jobs.pipelines import registry
from jobs.pipelines.definition import Definition
from jobs.pipelines.dependency import chain
from jobs.pipelines.models import Pipeline
from jobs.pipelines.pages import words
from jobs.pipelines.services import cancel as cancel_pipeline
from jobs.pipelines.services import retry as retry_pipeline
from jobs.pipelines.standing import StageStanding, Standing
from jobs.states import HELD

PAGE = 50


@require_GET
def pipelines(request: HttpRequest) -> HttpResponse:
    """What may be started, and what was, newest first."""
    found = Pipeline.objects.prefetch_related("machines")
    page = Paginator(found, PAGE).get_page(request.GET.get("page"))
    rows = []
    for pipeline in page:
        standing = Standing(pipeline)
        definition = _definition(pipeline)
        current = standing.current
        rows.append(
            {
                "pipeline": pipeline,
                "title": definition.title if definition else pipeline.kind,
                "state": standing.state,
                "stage": words.stage_words(definition, current.stage.name) if current else "",
                "done": sum(1 for stage in standing.stages if stage.met),
                "all": len(standing.stages),
                "machines": [machine.name for machine in pipeline.machines.all()[:4]],
                "more": max(pipeline.machines.count() - 4, 0),
            }
        )
    context = {"rows": rows, "page": page, "kinds": registry.all_pipelines().values()}
    return render(request, "pipelines/pipelines.html", context)


@require_GET
def pipeline(request: HttpRequest, pk: int) -> HttpResponse:
    """One pipeline: its stages with their jobs, what is next, and why it waits."""
    found = get_object_or_404(Pipeline.objects.prefetch_related("machines"), pk=pk)
    standing = Standing(found)
    definition = _definition(found)
    behind = standing.left_behind()
    stages = [_stage(stage, standing, definition) for stage in standing.stages]
    again = [("pipeline", found.kind), *((f"params.{name}", value) for name, value in _flat(found.params))]
    again += [("machine", name) for name in sorted(behind)]
    broken = standing.broken
    context = {
        "pipeline": found,
        "title": definition.title if definition else found.kind,
        "standing": standing,
        "stages": stages,
        "done": sum(1 for stage in standing.stages if stage.met),
        "next": next((row for row in stages if row["waits"]), None),
        "machines": list(found.machines.all()),
        "simulated": any(machine.simulated for machine in found.machines.all()),
        "behind": [
            {"machine": name, "stage": words.stage_words(definition, at)} for name, at in sorted(behind.items())
        ],
        "broken": broken,
        "broken_words": words.stage_words(definition, broken.stage.name) if broken else "",
        "again": f"{reverse('pipeline-new')}?{urlencode(again)}" if behind and definition else "",
        "params": _params(found, definition),
    }
    return render(request, "pipelines/pipeline.html", context)


@require_http_methods(["GET", "POST"])
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    """First what was done and stays done; then, by POST, what runs is stopped, and what waits never begins."""
    found = get_object_or_404(Pipeline, pk=pk)
    if request.method == "GET":
        return _ask_before_cancelling(request, found)
    if cancel_pipeline(found, actor=request.user.get_username()):
        messages.success(request, _("Pipeline %(id)s is being stopped.") % {"id": pk})
    return HttpResponseRedirect(reverse("pipeline", args=[pk]))


def _ask_before_cancelling(request: HttpRequest, pipeline: Pipeline) -> HttpResponse:
    standing = Standing(pipeline)
    if standing.ended:
        return HttpResponseRedirect(reverse("pipeline", args=[pipeline.pk]))
    definition = _definition(pipeline)

    def those(chosen: Callable[[StageStanding], bool]) -> list[str]:
        return [words.stage_words(definition, stage.stage.name) for stage in standing.stages if chosen(stage)]

    context = {
        "pipeline": pipeline,
        "title": definition.title if definition else pipeline.kind,
        "done": those(lambda stage: stage.ended),
        "busy": those(lambda stage: stage.state in HELD),
        "open": those(lambda stage: not stage.ended and stage.state not in HELD),
    }
    return render(request, "pipelines/cancel.html", context)


@require_POST
def retry(request: HttpRequest, pk: int) -> HttpResponse:
    """Go on where it broke."""
    found = get_object_or_404(Pipeline, pk=pk)
    try:
        job = retry_pipeline(found, actor=request.user.get_username())
        messages.success(request, _("It goes on with job %(id)s.") % {"id": job.pk})
    except PlanRefused as refused:
        messages.error(request, f"{causes.cause(refused.cause)} {causes.mend(refused.mend)}")
    return HttpResponseRedirect(reverse("pipeline", args=[pk]))


def _definition(pipeline: Pipeline) -> Definition | None:
    return registry.all_pipelines().get(pipeline.kind)


def _stage(stage: StageStanding, standing: Standing, definition: Definition | None) -> dict[str, Any]:
    job = stage.job
    return {
        "number": stage.stage.position + 1,
        "words": words.stage_words(definition, stage.stage.name),
        "kind": stage.stage.kind,
        "state": stage.state,
        "job": job,
        "met": stage.met,
        "current": stage is standing.current,
        "planned": bool(job and job.plan_hash),
        "machines": [machine.name for machine in job.machines.all()] if job else [],
        "waits": words.why_it_waits(stage),
        "cause": causes.cause(job.failure.get("cause", "")) if job and not stage.met else "",
        "mend": causes.mend(job.failure.get("mend", "")) if job else "",
        "behind": words.left_behind(job) if job else [],
        "earlier": [earlier.pk for earlier in chain(job)][1:] if job else [],
        "params": words.parameters(stage.stage.kind, _of_job(job) or stage.stage.params, definition),
    }


def _of_job(job: Job | None) -> dict[str, Any]:
    return dict(job.params) if job is not None and job.plan_hash else {}


def _params(pipeline: Pipeline, definition: Definition | None) -> list[dict[str, Any]]:
    """The pipeline's own parameters with their labels; an artifact by its name."""
    if definition is None:
        return [{"label": name, "value": value} for name, value in pipeline.params.items()]
    found = []
    for name, source in definition.Params().fields.items():
        value = pipeline.params.get(name)
        if value in (None, "", [], False):
            continue
        artifact = Artifact.objects.filter(pk=value).first() if name in definition.artifacts else None
        shown = ", ".join(value) if isinstance(value, list) else value
        found.append({"label": source.label or name, "value": shown, "artifact": artifact})
    return found


def _flat(params: dict[str, Any]) -> list[tuple[str, Any]]:
    """Parameters as they stand in the address of the form."""
    found: list[tuple[str, Any]] = []
    for name, value in params.items():
        if isinstance(value, bool):
            found += [(name, "1")] if value else []
        elif isinstance(value, list):
            found += [(name, item) for item in value]
        elif value not in (None, ""):
            found.append((name, value))
    return found
