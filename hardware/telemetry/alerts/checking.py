"""Whether what a person writes is a rule or a silence that can be kept; each complaint names its field."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from hardware.telemetry.alerts.metrics import OPS, STATS, Metric, known
from hardware.telemetry.alerts.models import Rule

LONGEST = 7 * 86400
LONGEST_SILENCE = timedelta(days=90)
MOST_CONDITIONS = 6
Errors = dict[str, list[str]]
# Who knows which jobs there are says here what is wrong with a remedy, in sentences.
remedy_checks: list[Callable[[Mapping[str, Any]], list[str]]] = []


class Refused(Exception):
    """``errors``: field -> sentences. Fields of the nth condition are ``conditions.N.metric``."""

    def __init__(self, errors: Errors) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{field}: {' '.join(lines)}" for field, lines in errors.items()))


def rule(fields: Mapping[str, Any], remedy_before: Mapping[str, Any] | None = None) -> None:
    """All fields of a rule. A remedy that stays as it was is kept whatever became of its job. Raises ``Refused``."""
    errors: dict[str, list[str]] = defaultdict(list)
    if not str(fields.get("title", "")).strip():
        errors["title"].append(_("A rule needs a title."))
    if fields.get("severity") not in Rule.Severity.values:
        errors["severity"].append(_("The severity is info, warning or critical."))
    if fields.get("scope") not in Rule.Scope.values:
        errors["scope"].append(_("The scope is npu or machine."))
    for name in ("for_s", "clear_for_s"):
        value = fields.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LONGEST:
            errors[name].append(_("A duration is 0 to %(most)s whole seconds.") % {"most": LONGEST})
    remedy = fields.get("remedy") or {}
    _remedy(remedy, errors)
    if remedy and "remedy" not in errors and remedy != remedy_before:
        for complaint in (one for check in remedy_checks for one in check(remedy)):
            errors["remedy"].append(complaint)
    _conditions(fields, errors)
    if errors:
        raise Refused(dict(errors))


def _conditions(fields: Mapping[str, Any], errors: dict[str, list[str]]) -> None:
    conditions = fields.get("conditions")
    if not isinstance(conditions, list) or not 1 <= len(conditions) <= MOST_CONDITIONS:
        errors["conditions"].append(
            _("A rule has 1 to %(most)s conditions; all of them must hold.") % {"most": MOST_CONDITIONS}
        )
        return
    metrics = []
    for number, said in enumerate(conditions):
        place = f"conditions.{number}"
        if not isinstance(said, dict):
            errors[place].append(_("A condition has metric, stat, op, value and clear."))
            continue
        if unknown := sorted(said.keys() - {"metric", "stat", "op", "value", "clear"}):
            errors[place].append(_("A condition has no %(names)s.") % {"names": ", ".join(unknown)})
        metric = known(said.get("metric"))
        if metric is None:
            errors[f"{place}.metric"].append(
                _("There is no metric %(name)s; GET /api/v1/rules/metrics/ lists them.") % {"name": said.get("metric")}
            )
            continue
        metrics.append(metric)
        _condition(metric, said, place, errors)
    of = {metric.of for metric in metrics}
    if "facts" in of and len(metrics) > 1:
        errors["conditions"].append(
            _("What is found when facts are stored can't be combined with what is read every minute.")
        )
    if "facts" in of and (fields.get("for_s") or fields.get("clear_for_s")):
        errors["for_s"].append(_("A rule that rests on facts fires when they are stored; it has no duration."))
    if metrics and fields.get("scope") == "npu" and "npu" not in of:
        errors["scope"].append(_("None of the conditions is about an NPU; the scope is machine."))


def _condition(metric: Metric, said: Mapping[str, Any], place: str, errors: dict[str, list[str]]) -> None:
    op, value, clear = said.get("op"), said.get("value"), said.get("clear")
    if op not in OPS:
        errors[f"{place}.op"].append(_("The comparison is <, > or rises."))
    elif op == "rises" and not metric.counter:
        errors[f"{place}.op"].append(_("%(name)s is no counter; it can be < or >.") % {"name": metric.name})
    if said.get("stat", "mean") not in STATS:
        errors[f"{place}.stat"].append(_("The statistic is min, mean, max or p95."))
    limits = {"low": f"{metric.low:g}", "high": f"{metric.high:g}", "unit": metric.unit}
    for name, number in (("value", value), ("clear", clear)):
        if name == "clear" and number is None:
            continue
        if isinstance(number, bool) or not isinstance(number, int | float) or not metric.low <= number <= metric.high:
            errors[f"{place}.{name}"].append(_("A number from %(low)s to %(high)s %(unit)s.").rstrip() % limits)
            return
    if clear is None or op not in ("<", ">"):
        return
    if (op == ">" and clear > value) or (op == "<" and clear < value):
        errors[f"{place}.clear"].append(
            _("An alert ends on the good side: clear is at most the value with >, and at least the value with <.")
        )


def _remedy(remedy: Any, errors: dict[str, list[str]]) -> None:
    if not isinstance(remedy, dict) or remedy.keys() - {"kind", "params"}:
        errors["remedy"].append(_("A remedy has a kind of job and its params."))
    elif remedy and not (isinstance(remedy.get("kind"), str) and remedy["kind"]):
        errors["remedy"].append(_("A remedy names its kind of job."))
    elif not isinstance(remedy.get("params", {}), dict):
        errors["remedy"].append(_("The params of a remedy are an object of names and values."))


def silence(fields: Mapping[str, Any], *, now: datetime | None = None) -> None:
    """All fields of a silence. Raises ``Refused``."""
    errors: dict[str, list[str]] = defaultdict(list)
    now = now or timezone.now()
    if not any(fields.get(name) for name in ("rule", "machine", "label", "site")):
        errors["rule"].append(_("Say what to silence: a rule, a machine, a label or a site."))
    if not str(fields.get("reason", "")).strip():
        errors["reason"].append(_("Say why: whoever comes next wants to know."))
    ends, starts = fields.get("ends_at"), fields.get("starts_at") or now
    if ends is None:
        errors["ends_at"].append(_("A silence has an end."))
    elif ends <= max(starts, now):
        errors["ends_at"].append(_("The end is in the past, or before the start."))
    elif ends - max(starts, now) > LONGEST_SILENCE:
        errors["ends_at"].append(_("A silence lasts %(n)s days at most.") % {"n": LONGEST_SILENCE.days})
    if errors:
        raise Refused(dict(errors))
