"""The pages of rules: all of them, and one as a form that can be tried out before it is saved."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import override
from django.views.decorators.http import require_http_methods

from hardware.telemetry.alerts import services, tryout, wording
from hardware.telemetry.alerts.checking import MOST_CONDITIONS, Errors, Refused
from hardware.telemetry.alerts.metrics import METRICS, OPS, STATS
from hardware.telemetry.alerts.models import Alert, Rule

_WORDS = ("title", "cause", "advice")
_EMPTY = {"metric": "", "stat": "mean", "op": ">", "value": "", "clear": ""}


@require_http_methods(["GET", "POST"])
def rules(request: HttpRequest) -> HttpResponse:
    """All rules; by POST one is switched on or off."""
    if request.method == "POST":
        found = get_object_or_404(Rule, slug=request.POST.get("rule", ""))
        services.change_rule(found, actor=request.user.get_username(), enabled=request.POST.get("do") == "enable")
        return redirect("alert-rules")
    opened = Count("alerts", filter=Q(alerts__state=Alert.State.OPEN))
    context = {
        "rows": [_row(rule) for rule in Rule.objects.annotate(open=opened, fired=Count("alerts"))],
        "tab": "rules",
    }
    return render(request, "alerts/rules.html", context)


@require_http_methods(["GET", "POST"])
def rule(request: HttpRequest, slug: str) -> HttpResponse:
    return _form(request, get_object_or_404(Rule, slug=slug))


@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    return _form(request, None)


def _form(request: HttpRequest, there: Rule | None) -> HttpResponse:
    """A POST saves, or by ``do`` tries out, resets or deletes."""
    shown = there or Rule(conditions=[], scope=Rule.Scope.NPU)
    errors: Errors = {}
    found: tryout.Found | None = None
    typed: dict[str, Any] = _typed_of(shown)
    if request.method == "POST":
        do, person = request.POST.get("do", "save"), request.user.get_username()
        try:
            if there is not None and do in ("reset", "delete"):
                return _taken_back(request, there, do)
            typed = _typed(request.POST)
            fields = _fields(typed) | _unchanged(there, typed)
            if do == "try":
                found = tryout.try_out(_tried(there, fields))
            elif there is None:
                made = services.make_rule(actor=person, slug=typed["slug"], **fields)
                messages.success(request, _("The rule was made."))
                return HttpResponseRedirect(reverse("alert-rule", args=[made.slug]))
            else:
                services.change_rule(there, actor=person, **fields)
                messages.success(request, _("The rule was saved."))
                return HttpResponseRedirect(request.path)
        except Refused as refused:
            errors = refused.errors
            if there is not None:
                there.refresh_from_db()
    return render(request, "alerts/rule.html", _context(there, typed, errors, found), status=422 if errors else 200)


def _taken_back(request: HttpRequest, there: Rule, do: str) -> HttpResponse:
    """Raises ``Refused``."""
    person = request.user.get_username()
    if do == "reset":
        services.reset_rule(there, actor=person)
        messages.success(request, _("The rule is as it was built in."))
        return HttpResponseRedirect(request.path)
    services.delete_rule(there, actor=person)
    messages.success(request, _("The rule was deleted."))
    return redirect("alert-rules")


def _typed_of(rule: Rule) -> dict[str, Any]:
    return {
        "slug": rule.slug,
        **{name: wording.said(getattr(rule, name)) for name in _WORDS},
        "severity": rule.severity,
        "scope": rule.scope,
        "for_s": rule.for_s,
        "clear_for_s": rule.clear_for_s,
        "enabled": rule.enabled,
        "remedy_kind": rule.remedy.get("kind", ""),
        "remedy_params": json.dumps(rule.remedy.get("params", {}), ensure_ascii=False) if rule.remedy else "",
        "conditions": [{**_EMPTY, **said} for said in rule.conditions],
    }


def _typed(data: QueryDict) -> dict[str, Any]:
    """What stands in the form, as text; conditions without a metric are left out."""
    names = ("slug", "title", "severity", "scope", "for_s", "clear_for_s", "cause", "advice")
    typed: dict[str, Any] = {name: data.get(name, "").strip() for name in names}
    typed |= {name: data.get(name, "").strip() for name in ("remedy_kind", "remedy_params")}
    typed["enabled"] = data.get("enabled") == "on"
    rows = [{name: data.get(f"{name}-{number}", "").strip() for name in _EMPTY} for number in range(MOST_CONDITIONS)]
    typed["conditions"] = [row for row in rows if row["metric"]]
    return typed


def _fields(typed: dict[str, Any]) -> dict[str, Any]:
    """The rule's fields. What can't be read as a number stays text, which the check then refuses by its field."""
    fields = {name: typed[name] for name in ("title", "severity", "scope", "cause", "advice", "enabled")}
    fields |= {name: _whole(typed[name]) for name in ("for_s", "clear_for_s")}
    fields["conditions"] = [_condition(row) for row in typed["conditions"]]
    fields["remedy"] = {}
    if typed["remedy_kind"]:
        try:
            params = json.loads(typed["remedy_params"] or "{}")
        except ValueError:
            raise Refused({"remedy": [_("The params of a remedy are an object of names and values.")]}) from None
        fields["remedy"] = {"kind": typed["remedy_kind"], "params": params}
    return fields


def _unchanged(there: Rule | None, typed: dict[str, Any]) -> dict[str, str]:
    """The words that stand in the form as the reader's language has them: they stay those that are translated."""
    kept: dict[str, str] = {}
    for language, _name in settings.LANGUAGES if there else ():
        with override(language):
            kept |= {name: getattr(there, name) for name in _WORDS if typed[name] == wording.said(getattr(there, name))}
    return kept


def _condition(row: dict[str, str]) -> dict[str, Any]:
    said: dict[str, Any] = {**row, "value": _number(row["value"])}
    said["clear"] = _number(row["clear"]) if row["clear"] else said["value"]
    if said["op"] == "rises":
        said["clear"] = said["value"]
    return said


def _whole(text: Any) -> Any:
    text = str(text)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else text or 0


def _number(text: str) -> Any:
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() else number


def _tried(there: Rule | None, fields: dict[str, Any]) -> Rule:
    return Rule(version=there.version if there else 1, **fields)


def _row(rule: Any) -> dict[str, Any]:
    return {
        "rule": rule,
        "title": wording.said(rule.title),
        "severity": wording.severity(rule.severity),
        "chip": wording.chip_state(rule),
        "conditions": wording.conditions(rule),
        "for": wording.span(rule.for_s) if rule.for_s else "",
    }


def _context(there: Rule | None, typed: dict[str, Any], errors: Errors, found: tryout.Found | None) -> dict[str, Any]:
    conditions = [*typed["conditions"], *([dict(_EMPTY)] * MOST_CONDITIONS)][:MOST_CONDITIONS]
    used = len(typed["conditions"])
    stats = {"min": _("lowest"), "mean": _("mean"), "max": _("highest")}
    fields = {"slug", "title", "severity", "scope", "for_s", "clear_for_s", "remedy", "conditions"}
    fields |= {f"conditions.{number}" for number in range(used)}
    fields |= {f"conditions.{number}.{name}" for number in range(used) for name in _EMPTY}
    return {
        "rule": there,
        "heading": wording.said(there.title) if there else _("New rule"),
        "typed": typed,
        "rows": [
            {
                "n": number,
                "said": said,
                "spare": number > used,
                "errors": [
                    line
                    for name in ("", ".metric", ".stat", ".op", ".value", ".clear")
                    for line in errors.get(f"conditions.{number}{name}", [])
                ],
            }
            for number, said in enumerate(conditions)
        ],
        "errors": errors,
        "others": [line for name, lines in errors.items() if name not in fields for line in lines],
        "found": found,
        "of_facts": any((metric := METRICS.get(row["metric"])) and metric.of == "facts" for row in typed["conditions"]),
        "metrics": [
            {"name": one.name, "words": f"{one.title}{f', {one.unit}' if one.unit else ''}", "of": one.of}
            for one in METRICS.values()
        ],
        "stats": [(name, stats.get(name, name)) for name in STATS],
        "ops": [(name, _("rises by") if name == "rises" else name) for name in OPS],
        "severities": [(value, wording.severity(value)) for value in Rule.Severity.values],
        "fired": there.alerts.count() if there else 0,
    }
