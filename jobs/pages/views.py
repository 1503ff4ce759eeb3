"""The pages of jobs: their history, one of them live."""

from __future__ import annotations

from typing import Any

from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_GET

from hardware.inventory.models import Machine
from jobs import registry, retry
from jobs.approvals.models import Approval
from jobs.history import export
from jobs.history.query import Query
from jobs.history.rows import Row
from jobs.logs import text
from jobs.logs.pages import begins_at as log_begins_at
from jobs.models import Job, JobStep
from jobs.pages import control, faults, figures, grid, planview, provenance, reports, timing, waits, wording
from jobs.pages.filters import Filters, in_words
from jobs.pages.steps import Step, clock
from jobs.pages.steps import read as read_steps
from jobs.states import ENDED, HELD, UNSTARTED, JobState, StepState

# Lanes of a plan that the page brings along; a longer one is read when it is unfolded.
INLINE_LANES = 20
# Cells that are asked for at once; of more a page takes all its rows again.
MOST_CELLS = 300


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
        "label_names": sorted(
            {label for labels in Machine.objects.values_list("labels", flat=True) for label in labels}
        ),
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
    """One job. ``?part=live`` is what changes while it runs, ``grid`` its rows as the filters in the address say,
    ``cells`` the cells of the steps ``id``, ``plan`` its plan.
    """
    now = timezone.now()
    machines = Prefetch("machines", Machine.objects.defer("facts"))
    jobs = Job.objects.select_related("waits_for").defer("plan", "waits_for__plan").prefetch_related(machines)
    found = get_object_or_404(jobs, pk=pk)
    part = request.GET.get("part", "")
    if part == "plan":
        return render(request, "jobs/plan.html", {"plan": planview.shown(found.plan, found.plan_hash)})
    if part == "cells":
        return render(request, "jobs/cells.html", {"rows": _rows_of(found, request.GET.getlist("id"))})
    steps = read_steps(found)
    view = grid.View.of(request.GET)
    context: dict[str, Any] = {"job": found, "grid": grid.of(found, steps, view, bare=part == "live"), "part": part}
    if part == "grid":
        return render(request, "jobs/gridrows.html", context)
    context |= _live(found, steps)
    if part == "live":
        return render(request, "jobs/part.html", context)
    on = list(found.machines.all())
    sources = [m.name for m in on] + ([text.CONSOLE] if any(step.machine is None for step in steps) else [])
    context |= {
        "plan_lanes": len({(step.stage, step.lane) for step in steps}),
        "machines": on,
        "sources": sources,
        "simulated": any(machine.simulated for machine in on),
        "step_titles": {step.key: wording.title(step.title) for step in steps},
        "state_words": {value: str(words) for value, words in StepState.choices},
        "as_of": now.isoformat(),
        "log_after": log_begins_at(found),
        **provenance.about(found),
    }
    if context["plan_lanes"] <= INLINE_LANES:
        context["plan"] = planview.shown(found.plan, found.plan_hash)
    return render(request, "jobs/job.html", context)


def _rows_of(found: Job, ids: list[str]) -> list[grid.Row]:
    """The rows that steps stand in, with only these steps' cells."""
    wanted = {int(text) for text in ids[:MOST_CELLS] if text.isascii() and text.isdigit() and len(text) < 19}
    steps = JobStep.objects.filter(job=found, pk__in=wanted)
    machines = list(steps.values_list("machine", flat=True).distinct().order_by())
    rows = grid.rows_of(found, read_steps(found, machines))
    for row in rows:
        row.cells = [cell for cell in row.cells if cell.step and cell.step.pk in wanted]
    return rows


def _live(found: Job, steps: list[Step]) -> dict[str, Any]:
    began, ended = found.started_at, found.ended_at
    failed = retry.machines_of(found, "failed", steps)
    unreachable = list(dict.fromkeys(step.machine for step in steps if step.state == StepState.UNREACHABLE))
    return {
        # Where all of them failed, running it again is the same.
        "failed_machines": len(failed) if len(failed) < len(found.machines.all()) else 0,
        "title": _titles().get(found.kind, found.kind),
        "timing": timing.of(steps),
        "progress": grid.progress(found, steps),
        "faults": faults.of(found, steps),
        "unreachable": unreachable,
        "waits": waits.of(found),
        "pauses": control.still_open(steps) if found.state in (*HELD, *UNSTARTED) else [],
        "before": control.stands_before(steps) if found.state == JobState.PAUSED else [],
        "left": control.left(steps) if found.state == JobState.CANCELLED and began else None,
        "moves": provenance.moves(found),
        "approval": Approval.objects.filter(job=found).first(),
        "span": clock((ended or timezone.now()) - began) if began else "",
        "result": figures.of_result(found.result, simulated=any(m.simulated for m in found.machines.all())),
        "report_title": reports.title(found),
        "ended": found.state in ENDED,
        "unstarted": found.state in UNSTARTED,
    }


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
        "waits": waits.of(found),
        "span": clock((ended or timezone.now()) - began) if began else "",
    }
