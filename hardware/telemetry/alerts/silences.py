"""The page of silences: what is silent now, what was, and a form for another."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from hardware.inventory.models import Machine
from hardware.inventory.selection import labels_of, sites_of
from hardware.telemetry.alerts import services, wording
from hardware.telemetry.alerts.checking import Refused
from hardware.telemetry.alerts.models import Rule, Silence

# How long a silence can be said to last without writing a time.
HOURS = (
    (1, gettext_lazy("1 hour")),
    (4, gettext_lazy("4 hours")),
    (24, gettext_lazy("1 day")),
    (168, gettext_lazy("1 week")),
    (720, gettext_lazy("30 days")),
)
PAST = 50
FIELDS = ("rule", "machine", "label", "site", "reason", "hours")


@require_http_methods(["GET", "POST"])
def silences(request: HttpRequest) -> HttpResponse:
    """All silences; a POST makes one, or with ``do=end`` ends one."""
    values = {name: request.GET.get(name, "") for name in FIELDS}
    errors: dict[str, list[str]] = {}
    if request.method == "POST":
        if request.POST.get("do") == "end":
            return _end(request)
        values = {name: request.POST.get(name, "").strip() for name in FIELDS}
        try:
            _make(request, values)
        except Refused as refused:
            errors = refused.errors
        else:
            messages.success(request, _("Alerts within its scope are no longer told of until it ends."))
            return HttpResponseRedirect(_back(request))
    now = timezone.now()
    found = list(Silence.objects.select_related("rule", "machine").defer("machine__facts")[:500])
    fleet = list(Machine.objects.exclude(state=Machine.State.RETIRED).only("name", "site", "labels"))
    context = {
        "rows": [_row(one) for one in found if one.ends_at > now],
        "past": [_row(one) for one in found if one.ends_at <= now][:PAST],
        "values": values,
        "errors": errors,
        "hours": HOURS,
        "rules": [(rule.slug, wording.said(rule.title)) for rule in Rule.objects.all()],
        "sites": sites_of(fleet),
        "labels": labels_of(fleet)[:500],
        "machine_names": [machine.name for machine in fleet][:500],
        "back": request.POST.get("back", ""),
        "tab": "silences",
    }
    return render(request, "alerts/silences.html", context, status=422 if errors else 200)


def _make(request: HttpRequest, values: dict[str, str]) -> None:
    """Raises ``Refused``."""
    errors: dict[str, list[str]] = {}
    rule = Rule.objects.filter(slug=values["rule"]).first() if values["rule"] else None
    machine = Machine.objects.filter(name=values["machine"]).first() if values["machine"] else None
    if values["rule"] and rule is None:
        errors["rule"] = [_("There is no rule %(name)s.") % {"name": values["rule"]}]
    if values["machine"] and machine is None:
        errors["machine"] = [_("There is no machine %(name)s.") % {"name": values["machine"]}]
    if errors:
        raise Refused(errors)
    hours = int(values["hours"]) if values["hours"].isascii() and values["hours"].isdigit() else 0
    ends_at = timezone.now() + timedelta(hours=min(hours, 100_000)) if hours else None
    services.silence(
        actor=request.user.get_username(), reason=values["reason"], ends_at=ends_at, rule=rule, machine=machine,
        label=values["label"][:63], site=values["site"][:63],
    )  # fmt: skip


def _end(request: HttpRequest) -> HttpResponse:
    number = request.POST.get("silence", "")
    found = get_object_or_404(Silence, pk=int(number) if number.isascii() and number.isdigit() else 0)
    services.end_silence(found, actor=request.user.get_username())
    messages.success(request, _("The silence was ended."))
    return redirect("silences")


def _back(request: HttpRequest) -> str:
    back = request.POST.get("back", "")
    here = url_has_allowed_host_and_scheme(back, {request.get_host()})
    return back if back.startswith("/") and here else reverse("silences")


def _row(one: Silence) -> dict[str, Any]:
    return {"silence": one, "scope": scope(one)}


def scope(one: Silence) -> str:
    """What it covers: ``Disk nearly full, machine: n1-01``."""
    said = [
        wording.said(one.rule.title) if one.rule else "",
        _("machine %(name)s") % {"name": one.machine.name} if one.machine else "",
        _("label %(name)s") % {"name": one.label} if one.label else "",
        _("site %(name)s") % {"name": one.site} if one.site else "",
    ]
    return ", ".join(words for words in said if words)
