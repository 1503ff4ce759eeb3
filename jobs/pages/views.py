"""The pages of jobs: their history, one of them live, the question before a cancellation."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from hardware.inventory.models import Machine
from jobs import logtext, registry, retry
from jobs.depot.models import Artifact
from jobs.history import export
from jobs.history.query import Query
from jobs.history.rows import Row
from jobs.kind import Kind
from jobs.models import Job, JobStep, MachineLock
from jobs.pages import figures, grid, planview, timing, wording
from jobs.pages.filters import Filters, in_words
from jobs.services import cancel as cancel_job
from jobs.states import ENDED, UNSTARTED, JobState, StepState

# Lanes of a plan that the page brings along; a longer one is read when it is unfolded.
INLINE_LANES = 20


@require_GET
def history(request: HttpRequest) -> HttpResponse:
    """All jobs, newest first."""
    filters = Filters(request.GET)
    page = filters.page()
    names = _titles()
    hidden, more = (0, False) if page.rows else Query().count()
    context = {
        "rows": [_row(row, names) for row in page.rows],
        "page": page,
        "filters": filters,
        "kinds": names,
        "states": JobState.choices,
        "machine_names": Machine.objects.values_list("name", flat=True)[:500],
        "hidden": hidden,
        "hidden_words": in_words(hidden, more),
    }
    return render(request, "jobs/history.html", context)


@require_GET
def history_file(request: HttpRequest, form: str) -> StreamingHttpResponse:
    """The whole history that the filters leave, as ``csv`` or ``jsonl``."""
    return export.answer(Filters(request.GET).query, form, actor=request.user.get_username())


@require_GET
def job(request: HttpRequest, pk: int) -> HttpResponse:
    """One job. ``?part=live`` is what changes while it runs, ``part=plan`` its plan, ``all=1`` a large grid whole."""
    found = get_object_or_404(Job.objects.select_related("waits_for").prefetch_related("machines"), pk=pk)
    steps = list(JobStep.objects.filter(job=found).select_related("machine").defer("machine__facts"))
    for step in steps:
        # Not read with each step: a job brings its whole plan.
        step.job = found
    context = _live(found, steps, whole=request.GET.get("all") == "1")
    if request.GET.get("part") == "live":
        return render(request, "jobs/part.html", context)
    context["plan"] = plan = planview.shown(found.plan, found.plan_hash)
    if request.GET.get("part") == "plan":
        return render(request, "jobs/plan.html", context)
    machines = list(found.machines.all())
    sources = [m.name for m in machines] + ([logtext.CONSOLE] if any(step.machine is None for step in steps) else [])
    context |= {
        "plan_inline": len(plan.lanes) <= INLINE_LANES,
        "machines": machines,
        "sources": sources,
        "simulated": any(machine.simulated for machine in machines),
        "params": _params(found),
        "retries": Job.objects.filter(retry_of=found).order_by("pk").values_list("pk", flat=True)[:50],
        "step_names": {
            str(step.pk): {
                "machine": step.machine.name if step.machine else None,
                "title": wording.title(step.title),
                "key": step.key,
            }
            for step in steps
        },
    }
    context["state_words"] = {value: str(words) for value, words in StepState.choices}
    return render(request, "jobs/job.html", context)


def _live(found: Job, steps: list[JobStep], *, whole: bool) -> dict[str, Any]:
    began, ended = found.started_at, found.ended_at
    failed = retry.machines_of(found, "failed", steps)
    return {
        "job": found,
        # Where all of them failed, running it again is the same.
        "failed_machines": len(failed) if len(failed) < len(found.machines.all()) else 0,
        "title": _titles().get(found.kind, found.kind),
        "tables": grid.tables(steps, whole=whole),
        "timing": timing.of(steps),
        "progress": grid.progress(steps),
        "faults": grid.faults(found, steps),
        "unreachable": [step for step in steps if step.state == StepState.UNREACHABLE],
        "waits": _waits(found),
        "span": grid.clock((ended or timezone.now()) - began) if began else "",
        "result": figures.of_result(found.result, simulated=any(m.simulated for m in found.machines.all())),
        "ended": found.state in ENDED,
        "unstarted": found.state in UNSTARTED,
    }


def _waits(found: Job) -> dict[str, Any] | None:
    """For which job it waits, and for which machines."""
    if found.state != JobState.WAITING or found.waits_for is None:
        return None
    held = MachineLock.objects.filter(job=found.waits_for, machine__in=found.machines.all()).select_related("machine")
    return {"job": found.waits_for, "machines": ", ".join(lock.machine.name for lock in held)}


@require_http_methods(["GET", "POST"])
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    """First what was already done and stays done; then, by POST, the cancellation."""
    found = get_object_or_404(Job, pk=pk)
    page = reverse("job", args=[pk])
    if request.method == "POST":
        cancel_job(found, actor=request.user.get_username())
        return HttpResponseRedirect(page)
    if found.ended:
        return HttpResponseRedirect(page)
    steps = list(JobStep.objects.filter(job=found).select_related("machine").defer("machine__facts"))
    context = {
        "job": found,
        "title": _titles().get(found.kind, found.kind),
        "done": [step for step in steps if step.state == StepState.SUCCEEDED],
        "busy": [step for step in steps if step.state in (StepState.RUNNING, StepState.UNREACHABLE)],
        "open": [step for step in steps if step.state == StepState.PENDING and not step.compensates],
    }
    return render(request, "jobs/cancel.html", context)


@require_GET
def log_text(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    """The whole log as a file; ``?machine=NAME`` one machine's bytes as they came."""
    found = get_object_or_404(Job, pk=pk)
    machine = request.GET.get("machine", "")
    name = f"job-{pk}{'-' + machine if machine else ''}.log"
    answer = StreamingHttpResponse(logtext.stream(found.pk, machine or None), content_type="text/plain; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{"".join(c for c in name if c.isalnum() or c in "-._")}"'
    return answer


def _params(found: Job) -> list[dict[str, Any]]:
    """The parameters under the labels of their form, an artifact with its name and hash instead of its number."""
    kind = registry.all_kinds().get(found.kind)
    named = kind.artifacts if kind else {}
    fields = kind.Params().fields if kind else {}
    artifacts = Artifact.objects.in_bulk([value for name, value in found.params.items() if name in named and value])
    return [
        {
            "label": str(fields[name].label or "") if name in fields else "",
            "name": name,
            "value": _said(kind, name, value),
            "artifact": artifacts.get(value) if name in named else None,
        }
        for name, value in found.params.items()
        if value not in (None, "")
    ]


def _said(kind: Kind | None, name: str, value: Any) -> str:
    offered = (kind.offers(name) if kind else None) or []
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return dict(offered).get(str(value), str(value))


def _titles() -> dict[str, str]:
    return {slug: str(kind.title) for slug, kind in registry.all_kinds().items()}


def _row(row: Row, names: dict[str, str]) -> dict[str, Any]:
    found = row.job
    began, ended = found.started_at, found.ended_at
    return {
        "job": found,
        "title": names.get(found.kind, found.kind),
        "machines": row.machines[:3],
        "more": max(0, len(row.machines) - 3),
        "span": grid.clock((ended or timezone.now()) - began) if began else "",
    }
