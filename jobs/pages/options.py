"""How a job runs, as its form asks for it and as pages say it: priority, batches, time limits, pauses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from jobs.options import NORMAL, Options, OptionsSerializer
from jobs.pages import wording
from jobs.pages.planview import span

PREFIX = "options."


@dataclass
class Input:
    """One input. ``usual`` says what holds when it is left empty."""

    name: str
    label: str
    type: str
    value: str
    usual: str
    help: str = ""
    bounds: dict[str, Any] = field(default_factory=dict)
    errors: Sequence[str] = ()

    @property
    def id(self) -> str:
        return f"o-{self.name}"


def typed(data: QueryDict) -> dict[str, Any]:
    """What was typed, as ``Options.checked`` takes it; what was left empty is left out."""
    found: dict[str, Any] = {}
    for name in map(str, OptionsSerializer().fields):
        key = PREFIX + name
        if name == "pause_before":
            steps = list(dict.fromkeys(filter(None, data.getlist(key))))
            found.update({name: steps} if steps else {})
        elif (text := data.get(key, "").strip()) != "":
            found[name] = text
    return found


def wrong(given: Mapping[str, Any]) -> dict[str, list[str]]:
    """Every error of what was typed, by the name of its input; empty when it is right."""
    asked = OptionsSerializer(data=given)
    if asked.is_valid():
        return {}
    return {
        PREFIX + str(name): [str(line) for line in (problem.values() if isinstance(problem, dict) else problem)]
        for name, problem in asked.errors.items()
    }


def query(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as they stand in an address; those that are as usual are left out."""
    usual = Options().to_json()
    return {PREFIX + name: value for name, value in options.items() if name in usual and value != usual[name]}


def inputs(given: Mapping[str, Any], errors: Mapping[str, list[str]]) -> list[Input]:
    """The inputs of all options but the pauses, whose steps only a plan has."""
    usual = {
        "priority": str(NORMAL),
        "parallel": str(Options().parallel),
        "batch_size": _("all in one batch"),
        "tolerate": _("0: stop when one fails"),
        "timeout_s": _("no limit"),
        "step_timeout_s": _("as the plan says"),
        "not_before": _("at once"),
    }
    made = []
    for name in ("priority", "not_before", "parallel", "batch_size", "tolerate", "timeout_s", "step_timeout_s"):
        source = OptionsSerializer().fields[name]
        bounds = {"min": getattr(source, "min_value", None), "max": getattr(source, "max_value", None)}
        kind = {"not_before": "datetime-local", "tolerate": "text"}.get(name, "number")
        made.append(
            Input(
                name,
                str(source.label),
                kind,
                _shown(name, given.get(name)),
                usual[name],
                str(source.help_text or ""),
                {key: value for key, value in bounds.items() if value is not None},
                errors.get(PREFIX + name, ()),
            )
        )
    return made


def pauses(plan: Mapping[str, Any], given: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """(key, title, chosen) of the steps that a plan has, once each: the job can pause before them."""
    titles: dict[str, str] = {}
    for stage in plan["stages"]:
        for lane in stage["lanes"]:
            for step in lane["steps"]:
                titles.setdefault(step["key"], wording.title(step["title"]))
    chosen = set(given.get("pause_before", ()))
    return [(key, title, key in chosen) for key, title in titles.items()]


def words(options: Options, *, usual: bool = False) -> list[tuple[str, str]]:
    """What the options say, each with its name; those that are as usual only when ``usual`` asks for them."""
    plain = Options()
    told = [
        (_("Priority"), str(options.priority), options.priority != plain.priority),
        (_("Not before"), _moment(options), options.not_before is not None),
        (_("Machines at a time"), str(options.parallel), options.parallel != plain.parallel),
        (
            _("Batches"),
            ngettext("of %(n)s machine", "of %(n)s machines", options.batch_size) % {"n": options.batch_size}
            if options.batch_size
            else _("all in one"),
            options.batch_size != 0,
        ),
        (_("Machines that may fail"), options.tolerate, options.tolerate != plain.tolerate),
        (
            _("Time for the whole job"),
            span(options.timeout_s) if options.timeout_s else _("no limit"),
            options.timeout_s is not None,
        ),
        (
            _("Time for each step"),
            span(options.step_timeout_s) if options.step_timeout_s else _("as the plan says"),
            options.step_timeout_s is not None,
        ),
        (_("Pauses before"), ", ".join(map(wording.column, options.pause_before)), bool(options.pause_before)),
    ]
    return [(name, said) for name, said, unusual in told if (unusual or usual) and said]


def in_short(options: Options) -> str:
    """The options that are not as usual, in one line; empty when all are."""
    return " · ".join(f"{name}: {said}" for name, said in words(options))


def _moment(options: Options) -> str:
    return f"{timezone.localtime(options.not_before):%Y-%m-%d %H:%M}" if options.not_before else ""


def _shown(name: str, value: Any) -> str:
    if value in (None, ""):
        return ""
    if name == "not_before":
        try:
            moment = parse_datetime(str(value))
        except ValueError:
            moment = None
        if moment is not None and timezone.is_aware(moment):
            return f"{timezone.localtime(moment):%Y-%m-%dT%H:%M}"
    return str(value)
