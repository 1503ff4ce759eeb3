"""The Overview: what is wrong now, what runs now, what each NPU does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from console import fleetmap
from console.wrong import link, title, troubles
from hardware.inventory.models import Machine
from hardware.inventory.standing import standings
from hardware.telemetry.samples import latest
from jobs.approvals.models import Approval
from jobs.models import Job, JobStep
from jobs.pages import waits
from jobs.states import DONE_STEPS, HELD, UNSTARTED, JobState, StepState


@dataclass
class Running:
    """A job that is under way or waits. ``share`` is the share of its steps that are done, in %."""

    job: Job
    kind: Any
    url: str
    share: int
    steps: int
    done: int
    now: list[JobStep]
    waits: waits.Wait | None


@dataclass
class Ended:
    job: Job
    kind: Any
    url: str


@require_GET
def overview(request: HttpRequest) -> HttpResponse:
    fleet = standings(Machine.objects.exclude(state=Machine.State.RETIRED).select_related("deployment__release"))
    sites = fleetmap.sites(fleet, latest([standing.machine.name for standing in fleet]))
    wrong = troubles(fleet, sites)
    running = _running()
    read = sum(1 for site in sites for row in site.rows for cell in row.cells if cell.load is not None)
    context = {
        "fleet": fleet,
        "sites": sites,
        "cell_words": fleetmap.cell_words(),
        "few": all(len(row.cells) <= 4 for site in sites for row in site.rows),
        "dense": len(fleet) > fleetmap.DENSE_ABOVE,
        "simulated_count": sum(1 for standing in fleet if standing.machine.simulated),
        "npus": sum(standing.npu_count for standing in fleet),
        "npus_read": read,
        "ready": sum(1 for site in sites for row in site.rows if row.state == "ready"),
        "wrong": wrong,
        "running": running,
        "ended": [
            Ended(job, title(job), link("job", job.pk))
            for job in Job.objects.filter(ended_at__isnull=False).defer("plan").order_by("-ended_at")[:5]
        ],
        "proposed": [
            {"approval": one, "title": title(one.job), "url": link("approval", one.pk)}
            for one in Approval.objects.filter(state=Approval.State.WAITING)
            .select_related("job")
            .defer("job__plan", "job__traceback")[:5]
        ],
        "proposals": Approval.objects.filter(state=Approval.State.WAITING).count(),
        "under_way": sum(1 for item in running if item.job.state in HELD),
    }
    return render(request, "console/overview.html", context)


def _running() -> list[Running]:
    """The first twenty that have not ended. Steps are counted by the database: a job can have thousands of them."""
    jobs = Job.objects.filter(state__in=(*HELD, *UNSTARTED, JobState.PAUSED)).defer("plan", "traceback")
    rows = list(jobs.order_by("id")[:20])
    steps = JobStep.objects.filter(job__in=rows, compensates=False)
    counted: dict[int, dict[str, int]] = {}
    for job, state, count in steps.values_list("job", "state").annotate(Count("pk")).order_by():
        counted.setdefault(job, {})[state] = count
    now: dict[int, list[JobStep]] = {}
    under_way = steps.filter(state__in=(StepState.RUNNING, StepState.UNREACHABLE)).select_related("machine")
    for step in under_way.only("job", "title", "state", "progress", "machine__name"):
        now.setdefault(step.job_id, []).append(step)
    return [_as_row(job, counted.get(job.pk, {}), now.get(job.pk, [])) for job in rows]


def _as_row(job: Job, counts: dict[str, int], now: list[JobStep]) -> Running:
    total, done = sum(counts.values()), sum(counts.get(state, 0) for state in DONE_STEPS)
    part = sum(step.progress or 0 for step in now)
    share = min(99, round(100 * (done + part) / max(1, total)))
    return Running(job, title(job), link("job", job.pk), share, total, done, now, waits.of(job))
