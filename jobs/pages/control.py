"""Buttons of a job's page that change it: pause, resume, cancel. What each would do is said before it is done."""

from __future__ import annotations

from collections import Counter

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from jobs import control
from jobs.failures import PlanRefused
from jobs.models import Job
from jobs.pages import causes, wording
from jobs.pages.steps import Step, read
from jobs.states import StepState


@require_POST
def pause(request: HttpRequest, pk: int) -> HttpResponse:
    """Before the next step of each machine, or with ``before`` (a step's key) before that step."""
    found = get_object_or_404(Job, pk=pk)
    before = request.POST.get("before", "")
    try:
        done = control.pause(found, actor=request.user.get_username(), before=before)
    except PlanRefused as refused:
        messages.error(request, f"{causes.cause(refused.cause)} {causes.mend(refused.mend)}")
    else:
        if done and before:
            messages.success(request, _("The job will pause before: %(step)s.") % {"step": wording.column(before)})
    return HttpResponseRedirect(reverse("job", args=[pk]))


@require_POST
def resume(request: HttpRequest, pk: int) -> HttpResponse:
    """Let it go on."""
    control.resume(get_object_or_404(Job, pk=pk), actor=request.user.get_username())
    return HttpResponseRedirect(reverse("job", args=[pk]))


@require_http_methods(["GET", "POST"])
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    """First what was already done and stays done; then, by POST, the cancellation."""
    found = get_object_or_404(Job, pk=pk)
    page = reverse("job", args=[pk])
    if request.method == "POST":
        control.cancel(found, actor=request.user.get_username())
        return HttpResponseRedirect(page)
    if found.ended:
        return HttpResponseRedirect(page)
    steps = read(found)
    context = {
        "job": found,
        "done": by_title([step for step in steps if step.state == StepState.SUCCEEDED]),
        "busy": by_title([step for step in steps if step.state == StepState.RUNNING]),
        "away": by_title([step for step in steps if step.state == StepState.UNREACHABLE]),
        "open": by_title([step for step in steps if step.state == StepState.PENDING and not step.compensates]),
    }
    return render(request, "jobs/cancel.html", context)


def by_title(steps: list[Step]) -> list[tuple[str, list[str]]]:
    """Each step's title with the machines that it is of."""
    found: dict[str, list[str]] = {}
    for step in steps:
        found.setdefault(wording.title(step.title), []).append(step.machine or _("Console"))
    return list(found.items())


def still_open(steps: list[Step]) -> list[tuple[str, str]]:
    """(key, title) of the steps that a machine has still to begin: a job can be told to pause before them."""
    found = {step.key: step.title for step in steps if step.state == StepState.PENDING and not step.compensates}
    return [(key, wording.title(title)) for key, title in found.items()]


def stands_before(steps: list[Step]) -> list[tuple[str, int]]:
    """Of a paused job: the next step of its machines with how many stand before it, most first."""
    following: dict[int | None, str] = {}
    stage = next((step.stage for step in steps if step.state == StepState.PENDING and not step.compensates), None)
    for step in steps:
        if step.stage == stage and step.state == StepState.PENDING and not step.compensates:
            following.setdefault(step.machine_id, wording.title(step.title))
    return Counter(following.values()).most_common(3)


def left(steps: list[Step]) -> dict[str, int]:
    """Of a job that was stopped: how many steps were done and stay so, were cut off, and never began."""
    forward = [step.state for step in steps if not step.compensates]
    return {
        "done": sum(1 for state in forward if state in (StepState.SUCCEEDED, StepState.SKIPPED)),
        "cut": forward.count(StepState.CANCELLED),
        "open": forward.count(StepState.PENDING),
    }
