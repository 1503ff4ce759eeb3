"""Alerts: what is wrong now, what was, and one of them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods

from hardware.inventory.models import Machine
from hardware.inventory.selection import labels_of, sites_of
from hardware.telemetry.alerts import remedies, services, wording
from hardware.telemetry.alerts.api import table
from hardware.telemetry.alerts.finding import Wanted, open_now, told_of
from hardware.telemetry.alerts.grouping import lines, plan_url
from hardware.telemetry.alerts.models import Alert, Rule
from hardware.telemetry.alerts.silences import HOURS

ROWS = 50
EARLIER = 10


@require_http_methods(["GET", "POST"])
def alerts(request: HttpRequest) -> HttpResponse:
    """What is open, one line a rule; by POST all that are open of a rule are acknowledged."""
    if request.method == "POST":
        return _acknowledge_all(request)
    found = open_now()
    told, silent = told_of(found)
    context = {
        "lines": lines(told),
        "silenced": lines([alert for alert in found if alert.pk in silent]),
        "critical": sum(1 for alert in told if alert.rule.severity == Rule.Severity.CRITICAL),
        "open": len(told),
        "unacknowledged": sum(1 for alert in told if alert.acknowledged_at is None),
        "silent": len(silent),
        "machines": len({alert.machine_id for alert in told}),
        "simulated": any(alert.machine.simulated for alert in found),
        "tab": "alerts",
    }
    return render(request, "alerts/alerts.html", context)


def _acknowledge_all(request: HttpRequest) -> HttpResponse:
    rule = get_object_or_404(Rule, slug=request.POST.get("rule", ""))
    told, _silent = told_of([alert for alert in open_now() if alert.rule_id == rule.pk])
    waiting = [alert for alert in told if alert.acknowledged_at is None]
    for alert in waiting:
        services.acknowledge(alert, actor=request.user.get_username())
    words = ngettext("%(n)s alert was acknowledged.", "%(n)s alerts were acknowledged.", len(waiting))
    messages.success(request, words % {"n": len(waiting)})
    return redirect("alerts")


@require_GET
def history(request: HttpRequest) -> HttpResponse:
    """All alerts, newest first, by what is asked for; ``form=csv`` gives them as a table."""
    wanted = Wanted.of(request.GET)
    if request.GET.get("form") == "csv":
        return table(wanted)
    page = Paginator(wanted.alerts(), ROWS).get_page(request.GET.get("page"))
    query = urlencode(wanted.to_query())
    fleet = list(Machine.objects.exclude(state=Machine.State.RETIRED).only("name", "site", "labels"))
    context = {
        "page": page,
        "rows": [{"alert": alert, **_shown(alert)} for alert in page],
        "wanted": wanted,
        "query": f"{query}&" if query else "",
        "csv_url": f"{reverse('alerts-history')}?{urlencode({**wanted.to_query(), 'form': 'csv'})}",
        "rules": [(rule.slug, wording.said(rule.title)) for rule in Rule.objects.all()],
        "severities": [(value, wording.severity(value)) for value in Rule.Severity.values],
        "sites": sites_of(fleet),
        "labels": labels_of(fleet)[:500],
        "machine_names": [machine.name for machine in fleet][:500],
        "tab": "history",
    }
    return render(request, "alerts/history.html", context)


@require_http_methods(["GET", "POST"])
def alert(request: HttpRequest, pk: int) -> HttpResponse:
    """One: what fired, on what, why, what to do. A POST acknowledges it."""
    found = get_object_or_404(Alert.objects.select_related("rule", "machine"), pk=pk)
    if request.method == "POST":
        note = request.POST.get("note", "").strip()[:2000]
        services.acknowledge(found, actor=request.user.get_username(), note=note)
        messages.success(request, _("It was acknowledged."))
        return HttpResponseRedirect(request.path)
    _told, silent = told_of([found])
    same = Alert.objects.filter(rule=found.rule, machine=found.machine, npu=found.npu).exclude(pk=pk)
    context = {
        "alert": found,
        **_shown(found),
        "cause": wording.said(found.rule.cause),
        "advice": wording.said(found.rule.advice),
        "known": wording.reasons(found.values),
        "values": wording.values(found),
        "conditions": wording.conditions(found.rule),
        "for": wording.span(found.rule.for_s),
        "clear_for": wording.span(found.rule.clear_for_s),
        "remedy": remedies.of(found),
        "plan_url": plan_url([found]) if found.state == Alert.State.OPEN else "",
        "silence": silent.get(found.pk),
        "earlier": [{"alert": one, **_shown(one)} for one in same.select_related("rule", "machine")[:EARLIER]],
        "hours": HOURS,
        "simulated": found.machine.simulated,
    }
    return render(request, "alerts/alert.html", context)


def _shown(one: Alert) -> dict[str, Any]:
    return {
        "title": wording.said(one.rule.title),
        "chip": wording.chip_state(one.rule) if one.state == Alert.State.OPEN else "ok",
        "severity": wording.severity(one.rule.severity),
        "why_ended": wording.why_ended(one),
        "lasted": (one.ended_at - one.since) if one.ended_at else None,
    }
