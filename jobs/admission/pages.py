"""The pages of maintenance windows and concurrency limits, and the one on which a job is declared urgent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, time
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from hardware.inventory.models import Machine
from jobs import registry
from jobs.admission import services, wording
from jobs.admission.models import Limit, Window
from jobs.admission.windows import open_now
from jobs.failures import PlanRefused
from jobs.models import Job
from jobs.schedules.recurrence import read_zone, zones
from jobs.states import JobState


@require_http_methods(["GET", "POST"])
def windows(request: HttpRequest) -> HttpResponse:
    """All windows and freezes with what is open now; by POST one is added or removed."""
    values: dict[str, Any] = {
        "kind": "open",
        "weekdays": ["5", "6"],
        "begins": "22:00",
        "ends": "04:00",
        "zone": _zone(),
    }
    errors: dict[str, list[str]] = {}
    if request.method == "POST":
        if request.POST.get("do") == "remove":
            # One that is gone already, by a second click or in another tab, is as it was to be.
            for window in Window.objects.filter(pk=_number(request.POST.get("window", ""))):
                services.remove_window(window, actor=_person(request))
            return HttpResponseRedirect(reverse("windows"))
        values = request.POST.dict() | {"weekdays": request.POST.getlist("weekdays")}
        errors = _refused(lambda: services.save_window(_window(request.POST), actor=_person(request)))
        if not errors:
            return HttpResponseRedirect(reverse("windows"))
    now = timezone.now()
    listed = list(Window.objects.all())
    machines = list(Machine.objects.exclude(state=Machine.State.RETIRED).values_list("name", "site", "labels"))
    context = {
        "tab": "windows",
        "rows": [
            {"window": one, "when": wording.when(one), "holds": not open_now([one], [("", one.site, [one.label])], now)}
            for one in listed
        ],
        "machines_open": open_now(listed, machines, now),
        "machines": len(machines),
        "waiting": Job.objects.filter(state=JobState.WAITING, waits_on__reason="window").count(),
        "values": values,
        "errors": errors,
        "weekdays": wording.weekdays(),
        "zones": zones(),
        "sites": _sites(),
        "labels": sorted({label for _name, _site, labels in machines for label in labels}),
    }
    return render(request, "admission/windows.html", context, status=422 if errors else 200)


@require_http_methods(["GET", "POST"])
def limits(request: HttpRequest) -> HttpResponse:
    """All limits with what is under way; by POST one is set or removed."""
    values: dict[str, Any] = {}
    errors: dict[str, list[str]] = {}
    if request.method == "POST":
        if request.POST.get("do") == "remove":
            for limit in Limit.objects.filter(pk=_number(request.POST.get("limit", ""))):
                services.remove_limit(limit, actor=_person(request))
            return HttpResponseRedirect(reverse("limits"))
        values = request.POST.dict()
        errors = _refused(lambda: services.save_limit(_limit(request.POST), actor=_person(request)))
        if not errors:
            return HttpResponseRedirect(reverse("limits"))
    kinds = {slug: str(kind.title) for slug, kind in registry.all_kinds().items()}
    context = {
        "tab": "limits",
        "rows": [
            {"limit": one, "kind": kinds.get(one.kind, one.kind), **wording.use(one)} for one in Limit.objects.all()
        ],
        "values": values,
        "errors": errors,
        "kinds": kinds,
        "sites": _sites(),
    }
    return render(request, "admission/limits.html", context, status=422 if errors else 200)


@require_http_methods(["GET", "POST"])
def urgent(request: HttpRequest, pk: int) -> HttpResponse:
    """Why a job can't wait for its window."""
    job = get_object_or_404(Job.objects.defer("plan", "traceback"), pk=pk)
    errors: dict[str, list[str]] = {}
    if request.method == "POST":
        reason = request.POST.get("reason", "")
        errors = _refused(lambda: services.mark_urgent(job, reason, actor=_person(request)))
        if not errors:
            messages.success(request, gettext("It need not wait for a window any more."))
        if set(errors) - {"reason"}:
            messages.error(request, " ".join(line for lines in errors.values() for line in lines))
        if "reason" not in errors:
            return HttpResponseRedirect(reverse("job", args=[pk]))
    kind = registry.all_kinds().get(job.kind)
    context = {
        "job": job,
        "title": kind.title if kind else job.kind,
        "waits": wording.waits(job.waits_on) if job.state == JobState.WAITING else None,
        "machines": ", ".join(job.machines.values_list("name", flat=True)[:10]),
        "errors": errors,
        "reason": request.POST.get("reason", ""),
    }
    return render(request, "admission/urgent.html", context, status=422 if errors else 200)


def _window(data: QueryDict) -> Window:
    """A window as it was typed. Raises ``PlanRefused`` for a time that is none."""
    zone = data.get("zone", "")
    made = Window(
        kind=data.get("kind", ""),
        name=data.get("name", "").strip()[:80],
        site=data.get("site", "").strip()[:63],
        label=data.get("label", "").strip()[:63],
        zone=zone,
    )
    if made.kind == Window.Kind.FREEZE:
        made.starts_at, made.stops_at = (_moment(data.get(name, ""), zone, name) for name in ("starts_at", "stops_at"))
    else:
        made.kind = Window.Kind.OPEN
        made.weekdays = [int(day) for day in data.getlist("weekdays") if day in tuple("0123456")]
        made.begins, made.ends = (_clock(data.get(name, ""), name) for name in ("begins", "ends"))
        made.must_end_inside = "must_end_inside" in data
    return made


def _limit(data: QueryDict) -> Limit:
    def number(name: str) -> int | None:
        text = data.get(name, "").strip()
        if not text:
            return None
        if text.isascii() and text.isdigit() and len(text) < 7:
            return int(text)
        raise PlanRefused("limit-invalid", f"{text!r} is no whole number.", "Give a whole number.", name)

    return Limit(kind=data.get("kind", ""), site=data.get("site", ""), jobs=number("jobs"), machines=number("machines"))


def _refused(act: Callable[[], Any]) -> dict[str, list[str]]:
    """Do it; the refusal, if it is one, by its field."""
    try:
        act()
    except PlanRefused as refused:
        return {refused.field or "all": [wording.refusal(refused.cause, refused.mend)]}
    return {}


def _moment(text: str, zone: str, field: str) -> datetime:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=read_zone(zone))
    except ValueError:
        raise PlanRefused("window-invalid", "The time is missing.", "Give day and time.", field) from None


def _clock(text: str, field: str) -> time:
    try:
        return time.fromisoformat(text)
    except ValueError:
        raise PlanRefused("window-invalid", "The time is missing.", "Give a time such as 22:00.", field) from None


def _sites() -> list[str]:
    return list(Machine.objects.exclude(site="").order_by("site").values_list("site", flat=True).distinct())


def _zone() -> str:
    name = timezone.get_current_timezone_name()
    return name if name in zones() else "UTC"


def _person(request: HttpRequest) -> str:
    return str(request.user.get_username())


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
