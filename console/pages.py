"""The Overview: what is wrong now, what runs now, what each NPU does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from console import fleetmap
from console.wrong import link, title, troubles
from hardware.inventory.models import Machine
from hardware.inventory.standing import Standing
from hardware.telemetry.samples import latest
from jobs.models import Job, JobStep
from jobs.states import DONE_STEPS, HELD, UNSTARTED, StepState


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


@dataclass
class Ended:
    job: Job
    kind: Any
    url: str


@require_GET
def overview(request: HttpRequest) -> HttpResponse:
    machines = Machine.objects.exclude(state=Machine.State.RETIRED).select_related("credential", "deployment__release")
    fleet = [Standing(machine) for machine in machines]
    sites = fleetmap.sites(fleet, latest([standing.machine.name for standing in fleet]))
    wrong = troubles(fleet, sites)
    running = _running()
    read = sum(1 for site in sites for row in site.rows for cell in row.cells if cell.load is not None)
    context = {
        "fleet": fleet,
        "sites": sites,
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
        "under_way": sum(1 for item in running if item.job.state in HELD),
    }
    return render(request, "console/overview.html", context)


def _running() -> list[Running]:
    steps = Prefetch("steps", JobStep.objects.filter(compensates=False).select_related("machine"))
    jobs = Job.objects.filter(state__in=(*HELD, *UNSTARTED)).prefetch_related(steps, "machines").order_by("id")[:20]
    return [_as_row(job) for job in jobs]


def _as_row(job: Job) -> Running:
    steps = list(job.steps.all())
    done = sum(1 for step in steps if step.state in DONE_STEPS)
    now = [step for step in steps if step.state in (StepState.RUNNING, StepState.UNREACHABLE)]
    part = sum(step.progress or 0 for step in now)
    share = min(99, round(100 * (done + part) / max(1, len(steps))))
    return Running(job, title(job), link("job", job.pk), share, len(steps), done, now)
