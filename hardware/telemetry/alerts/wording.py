"""What pages say of rules and alerts, in the reader's language.

The words of a built-in rule are translated as long as nobody has written others; a person's own stay as they are.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.utils.translation import get_language, ngettext, pgettext
from django.utils.translation import gettext as _

from hardware.npu.faults import explain
from hardware.telemetry.alerts.metrics import METRICS
from hardware.telemetry.alerts.models import Alert, Rule

HEALTH = ("OK", "Warning", "Alarm", "Critical")


@dataclass(frozen=True)
class Reason:
    """``what`` is known of the cause in this very case, ``do`` what the sources advise; ``source`` who says so."""

    what: str
    do: str = ""
    source: str = ""


def said(text: str) -> str:
    """A rule's own words in the reader's language; ``gettext`` of nothing would be the catalogue's head."""
    return _(text) if text else ""


def severity(name: str) -> str:
    return {
        "critical": pgettext("severity", "Critical"),
        "warning": pgettext("severity", "Warning"),
        "info": pgettext("severity", "Info"),
    }.get(name, name)


def chip_state(alert_or_rule: Any) -> str:
    """The class of its chip on a page."""
    return {"critical": "failed", "warning": "warning"}.get(alert_or_rule.severity, "unknown")


def conditions(rule: Rule) -> list[str]:
    """Each condition in words: ``NPU temperature, highest > 75 °C (well at 70)``."""
    return [condition(said, rule.for_s) for said in rule.conditions]


def condition(said: dict[str, Any], for_s: int = 0) -> str:
    metric = METRICS.get(said.get("metric", ""))
    if metric is None:
        return _("%(name)s (not known any more)") % {"name": said.get("metric")}
    name, unit, value = str(metric.title), metric.unit, number(said["value"])
    if metric.name in ("silent", "version_conflicts"):
        return name
    if metric.name == "health" and said["op"] == ">" and said["value"] == 0:
        return _("%(name)s: worse than OK") % {"name": name}
    if metric.name == "link" and said["op"] == "<":
        return _("%(name)s: down") % {"name": name}
    if said["op"] == "rises" and for_s > 60:
        parts = {"name": name, "value": value, "span": span(for_s)}
        return _("%(name)s: rises by %(value)s or more within %(span)s") % parts
    if said["op"] == "rises":
        return _("%(name)s: rises by %(value)s or more") % {"name": name, "value": value}
    stat = {"min": _("lowest"), "max": _("highest"), "p95": "p95"}.get(said.get("stat", "mean"), "")
    words = f"{name}{f' ({stat})' if stat else ''} {said['op']} {value}{f' {unit}' if unit else ''}"
    clear = said.get("clear")
    if clear is None or clear == said["value"]:
        return words
    return _("%(words)s, well again at %(clear)s") % {"words": words, "clear": number(clear)}


def span(seconds: int) -> str:
    """A duration as a person says it."""
    if seconds and seconds % 3600 == 0:
        return ngettext("%(n)s hour", "%(n)s hours", seconds // 3600) % {"n": seconds // 3600}
    if seconds and seconds % 60 == 0:
        return ngettext("%(n)s minute", "%(n)s minutes", seconds // 60) % {"n": seconds // 60}
    return _("%(n)s s") % {"n": seconds}


def number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def values(alert: Alert) -> list[str]:
    """What was read when it was opened: ``NPU temperature 91 °C``."""
    return measured(alert.values, rising(alert))


def rising(alert: Alert) -> list[str]:
    """The metrics of which its values say by how much they rose."""
    return [one["metric"] for one in alert.rule.conditions if one.get("op") == "rises"]


def measured(values: dict[str, Any], rising: Container[str] = ()) -> list[str]:
    """Values of an alert by metric, in words; of those in ``rising`` they say by how much they rose."""
    found = []
    for name, value in values.items():
        metric = METRICS.get(name)
        if metric is None or name in ("silent", "version_conflicts"):
            continue
        shown = number(value)
        if name == "health":
            shown = HEALTH[round(value)] if 0 <= round(value) < len(HEALTH) else shown
        if name in rising:
            shown = f"+{shown}"
        found.append(f"{metric.title} {shown}{f' {metric.unit}' if metric.unit else ''}")
    return found


def reasons(values: dict[str, Any]) -> list[Reason]:
    """What is known beside the rule's own likely cause: fault codes and versions. What is not known is said."""
    found = list(_faults(values.get("fault_codes"))) + list(_conflicts(values.get("conflicts", ())))
    if "health" in values and not values.get("fault_codes"):
        found.append(Reason(_("It gave no fault code; what its fault is, is not known.")))
    return found


def _faults(codes: Any) -> Iterator[Reason]:
    language = "zh" if (get_language() or "").startswith("zh") else "en"
    for code in codes or ():
        fault = explain(str(code))
        if not fault.known:
            yield Reason(_("Fault code %(code)s: unknown to this console.") % {"code": fault.code})
            continue
        means = fault.means.get(language) or _("what it means is not known, only what to do.")
        words = _("Fault code %(code)s: %(means)s") % {"code": fault.code, "means": means}
        yield Reason(words, fault.do.get(language, ""), "; ".join(fault.sources))


def _conflicts(conflicts: Iterable[dict[str, Any]]) -> Iterator[Reason]:
    for one in conflicts:
        part = _part(one["part"])
        if "ranges" in one:
            ranges = ", ".join("\N{EN DASH}".join(pair) for pair in one["ranges"])
            yield Reason(
                _("%(part)s %(has)s is outside what %(by)s %(version)s runs with (%(ranges)s).")
                % {"part": part, "has": one["has"], "by": _part(one["by"]), "version": one["version"], "ranges": ranges}
            )
        elif one["others"]:
            yield Reason(
                _("%(part)s %(has)s; %(count)s of %(of)s like machines (%(place)s) have %(others)s.")
                % {**one, "part": part, "place": place(one["among"])}
            )
        else:
            yield Reason(
                _("%(part)s %(has)s; like machines (%(place)s) have %(versions)s, none of them most.")
                % {**one, "part": part, "place": place(one["among"]), "versions": ", ".join(one["versions"])}
            )


def _part(name: str) -> str:
    return {"driver": _("driver"), "firmware": _("firmware"), "cann": "CANN"}.get(name, name)


def place(among: str) -> str:
    kind, _colon, name = among.partition(":")
    if kind == "label":
        return _("label %(name)s") % {"name": name}
    return _("site %(name)s") % {"name": name} if name else _("no site")


def why_ended(alert: Alert) -> str:
    return {
        "cleared": _("It became well."),
        "disabled": _("The rule was switched off."),
        "rule-changed": _("The rule was changed."),
        "retired": _("The machine was retired."),
    }.get(alert.why_ended, "")
