"""The pages of schedules: all of them, a new one, one with its history, its form."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.contrib.auth.models import User
from django.db.models import OuterRef, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from jobs import registry
from jobs.failures import PlanRefused
from jobs.kind import Kind
from jobs.options import Options
from jobs.pages import forms, options
from jobs.pages.targets import Targets, offered
from jobs.request import found as found_now
from jobs.schedules import form, services, wording
from jobs.schedules.api import SHOWN_TIMES, next_times
from jobs.schedules.models import Fire, Schedule
from jobs.schedules.recurrence import zones
from jobs.services import plan

# Fires on a schedule's page.
SHOWN_FIRES = 50


@require_http_methods(["GET", "POST"])
def schedules(request: HttpRequest) -> HttpResponse:
    """All schedules; by POST one is run now, enabled or disabled."""
    if request.method == "POST":
        return _act(request, get_object_or_404(Schedule, pk=_number(request.POST.get("schedule", ""))), "schedules")
    newest = Fire.objects.filter(schedule=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    rows = list(Schedule.objects.annotate(newest=Subquery(newest)))
    last = _fires([row.newest for row in rows])
    context = {"rows": [_row(schedule, last.get(schedule.pk)) for schedule in rows], "tab": "schedules"}
    return render(request, "schedules/schedules.html", context)


@require_http_methods(["GET", "POST"])
def schedule(request: HttpRequest, pk: int) -> HttpResponse:
    """One: when, what, what would be launched now, what became of its times."""
    found = get_object_or_404(Schedule, pk=pk)
    if request.method == "POST":
        return _act(request, found, "schedule")
    fires = list(found.fires.select_related("job").defer("job__plan", "job__traceback")[: SHOWN_FIRES + 1])
    context = {
        "schedule": found,
        **_row(found, fires[0] if fires else None),
        "times": _shown(next_times(found), found.zone),
        "fires": [{"fire": one, "said": wording.fire(one)} for one in fires[:SHOWN_FIRES]],
        "more": len(fires) > SHOWN_FIRES,
        "params": [(name, value) for name, value in found.request["params"].items()],
        "options": options.words(found.asked().options),
        "now": _standing(found),
        "plan_url": _plan_url(found),
        "catch_up": wording.span(found.catch_up_s),
    }
    return render(request, "schedules/schedule.html", context)


@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Choose a kind; then its parameters, its machines, and when. The address of the New job page fits here, too."""
    slug = (request.POST if request.method == "POST" else request.GET).get("kind", "")
    kind = registry.all_kinds().get(slug)
    if kind is None:
        context = {
            "kinds": [{"kind": k, "title": k.title, "summary": k.summary} for k in registry.all_kinds().values()],
            "unknown": slug,
        }
        return render(request, "schedules/choose.html", context, status=404 if slug else 200)
    return _form(request, kind, None)


@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Schedule, pk=pk)
    kind = registry.all_kinds().get(found.request["kind"])
    if kind is None:
        messages.error(request, _("The kind of its jobs is gone; the schedule can only be deleted."))
        return HttpResponseRedirect(reverse("schedule", args=[pk]))
    return _form(request, kind, found)


@require_GET
def times(request: HttpRequest) -> HttpResponse:
    """The next times of what is typed in the form, or what is wrong with it."""
    values = form.typed(request.GET)
    context: dict[str, Any] = {"zone": values["zone"]}
    try:
        recurrence = form.recurrence(values)
        recurrence.check()
        found = list(islice(recurrence.after(timezone.now()), SHOWN_TIMES))
        context["times"] = _shown(found, recurrence.zone)
    except PlanRefused as refused:
        context["wrong"] = " ".join(wording.refusal(refused.cause, refused.mend))
    return render(request, "schedules/times.html", context)


def _form(request: HttpRequest, kind: Kind, there: Schedule | None) -> HttpResponse:
    person = request.user.get_username()
    errors: dict[str, list[str]] = {}
    data = request.POST if request.method == "POST" else request.GET
    params = forms.params_from(kind, data, bare=request.method == "GET")
    aimed, how = Targets.of(data, kind), form.options_of(data)
    if request.method == "POST":
        values = form.typed(data)
        errors = forms.checked(kind, params) | options.wrong(how)
        if not errors:
            try:
                fields = form.fields(kind, values, params, aimed, how)
                if there is None:
                    there = services.create(actor=person, **fields)
                else:
                    services.change(there, actor=person, **fields)
                return HttpResponseRedirect(reverse("schedule", args=[there.pk]))
            except PlanRefused as refused:
                errors[refused.field] = [" ".join(wording.refusal(refused.cause, refused.mend))]
    elif there is not None:
        values, params = form.of(there), there.request["params"]
        aimed, how = form.targets_of(there.request), there.request["options"]
        how = {name: value for name, value in how.items() if value != Options().to_json()[name]}
    else:
        values = form.empty(data, person)
    return render(
        request,
        "schedules/form.html",
        _form_context(kind, there, values, params, aimed, how, errors),
        status=422 if errors else 200,
    )


def _form_context(
    kind: Kind,
    there: Schedule | None,
    values: dict[str, str],
    params: dict[str, Any],
    aimed: Targets,
    how: dict[str, Any],
    errors: dict[str, list[str]],
) -> dict[str, Any]:
    inputs = forms.inputs(kind, params, errors)
    knobs = [knob for knob in options.inputs(how, errors) if knob.name != "not_before"]
    fields = {"name", "at", "cron", "seconds", "zone", "owner", "overlap", "catch_up_s", "targets"}
    fields |= {one.name for one in inputs} | {options.PREFIX + knob.name for knob in knobs}
    return {
        "kind": kind,
        "there": there if there is not None and there.pk else None,
        "values": values,
        "inputs": inputs,
        "errors": errors,
        # What no field of the form is to blame for.
        "others": [line for name, lines in errors.items() if name not in fields for line in lines],
        "how": knobs,
        "how_open": bool(how),
        "kept_pauses": how.get("pause_before", []),
        "targets": aimed,
        "offered": offered(aimed, kind),
        "zones": zones(),
        "modes": form.mode_words(),
        "units": form.unit_words(),
        "overlaps": Schedule.Overlap.choices,
        "people": User.objects.filter(is_active=True).order_by("username").values_list("username", flat=True)[:500],
    }


def _act(request: HttpRequest, found: Schedule, back: str) -> HttpResponse:
    person, do = request.user.get_username(), request.POST.get("do", "")
    try:
        if do == "run":
            fire = services.run_now(found, actor=person)
            return HttpResponseRedirect(reverse("job", args=[fire.job_id]))
        if do in ("enable", "disable"):
            services.change(found, actor=person, enabled=do == "enable")
        elif do == "delete":
            services.delete(found, actor=person)
            messages.success(request, _("The schedule %(name)s was deleted.") % {"name": found.name})
            return HttpResponseRedirect(reverse("schedules"))
    except PlanRefused as refused:
        messages.error(request, f"{found.name}: {' '.join(wording.refusal(refused.cause, refused.mend))}")
    return HttpResponseRedirect(reverse(back, args=[found.pk] if back == "schedule" else None))


def _shown(moments: list[datetime], zone: str) -> list[dict[str, str]]:
    """Each time on the clock of its zone and in UTC."""
    there = ZoneInfo(zone)
    return [{"there": f"{t.astimezone(there):%Y-%m-%d %H:%M}", "utc": f"{t:%Y-%m-%d %H:%M}"} for t in moments]


def _row(found: Schedule, last: Fire | None) -> dict[str, Any]:
    kind = registry.all_kinds().get(found.request["kind"])
    return {
        "schedule": found,
        "title": kind.title if kind else found.request["kind"],
        "when": wording.when(found),
        "targets": wording.targets(found.request),
        "next": next_there(found),
        "last": last,
        "said": wording.fire(last) if last else None,
        "over": found.enabled and found.next_at is None,
    }


def next_there(found: Schedule) -> str:
    """The next time on the clock of its own zone."""
    return f"{found.next_at.astimezone(ZoneInfo(found.zone)):%Y-%m-%d %H:%M}" if found.next_at else ""


def _fires(ids: list[int | None]) -> dict[int, Fire]:
    """Fires by their schedule."""
    fires = Fire.objects.filter(pk__in=[pk for pk in ids if pk]).select_related("job")
    return {fire.schedule_id: fire for fire in fires.defer("job__plan", "job__traceback")}


def _standing(found: Schedule) -> dict[str, Any]:
    """What would be launched now, or why nothing could be."""
    asked = found.asked()
    try:
        machines = found_now(asked.targets)
        made, _clean = plan(asked.slug, asked.params, machines, asked.options)
        count = sum(len(lane.steps) for _stage, lane in made.lanes())
        return {"machines": [machine.name for machine in machines], "steps": count}
    except PlanRefused as refused:
        cause, mend = wording.refusal(refused.cause, refused.mend)
        return {"cause": cause, "mend": mend}


def _plan_url(found: Schedule) -> str:
    """The New job page with the same request: its plan, to the byte."""
    request = found.request
    query = [("kind", request["kind"]), *form.targets_of(request).query()]
    tail = urlencode(forms.query(request["params"]) | options.query(request["options"]), doseq=True)
    return f"{reverse('job-new')}?{urlencode(query)}&{tail}"


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
