"""A schedule's form: what it shows, and what was typed as the fields of a schedule.

The request has the names that the New job page has (``kind``, ``params.NAME``, ``machine``, ``options.NAME`` …): its
address fits here, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _

from hardware.inventory.selection import Selection
from jobs.failures import PlanRefused
from jobs.kind import Kind
from jobs.pages import options
from jobs.pages.targets import Targets
from jobs.schedules.models import Schedule
from jobs.schedules.recurrence import Recurrence, read_zone
from jobs.schedules.services import stored

UNITS = {"minutes": 60, "hours": 3600, "days": 86400, "weeks": 7 * 86400}
TEXTS = ("name", "mode", "at", "cron", "number", "unit", "zone", "owner", "overlap", "catch_up")


def empty(data: QueryDict, user: str) -> dict[str, str]:
    """The values of a new form, with what its address brings along."""
    values = {
        "name": "", "mode": "cron", "at": f"{timezone.localtime():%Y-%m-%dT%H:%M}", "cron": "0 2 * * *", "number": "1",
        "unit": "days", "zone": _zone_of_page(), "owner": user, "overlap": "skip", "catch_up": "60",
    }  # fmt: skip
    return values | {name: data.get(name, "") for name in TEXTS if name in data}


def typed(data: QueryDict) -> dict[str, str]:
    """The values as they were sent."""
    return {name: data.get(name, "").strip() for name in TEXTS}


def of(schedule: Schedule) -> dict[str, str]:
    """The values of a schedule that is there."""
    moment = (schedule.at or timezone.now()).astimezone(ZoneInfo(schedule.zone))
    unit = next((name for name, size in reversed(UNITS.items()) if schedule.seconds % size == 0), "minutes")
    return {
        "name": schedule.name,
        "mode": schedule.mode,
        "at": f"{moment:%Y-%m-%dT%H:%M}",
        "cron": schedule.cron or "0 2 * * *",
        "number": str(schedule.seconds // UNITS[unit] or 1),
        "unit": unit,
        "zone": schedule.zone,
        "owner": schedule.owner,
        "overlap": schedule.overlap,
        "catch_up": str(schedule.catch_up_s // 60),
    }


def targets_of(request: Mapping[str, Any]) -> Targets:
    """The targets of a stored request, as the form has them."""
    given = request["targets"]
    if given.get("group"):
        return Targets("group", group=given["group"])
    if selection := Selection.from_json(given):
        return Targets("filter", selection=selection)
    return Targets("machines", tuple(given.get("machines", ())))


def options_of(data: QueryDict) -> dict[str, Any]:
    """The options as they were typed. A schedule is itself the time before which nothing begins."""
    return {name: value for name, value in options.typed(data).items() if name != "not_before"}


def recurrence(values: Mapping[str, str]) -> Recurrence:
    """When it fires, as it was typed. Raises ``PlanRefused`` with the input that is wrong."""
    mode = values["mode"]
    if mode == Schedule.Mode.CRON:
        return Recurrence("cron", values["zone"], cron=values["cron"])
    if mode not in Schedule.Mode.values:
        raise PlanRefused("schedule-invalid", "It is not said when.", "Choose one of the three.", "mode")
    moment = _moment(values["at"], values["zone"])
    if mode == Schedule.Mode.ONCE:
        return Recurrence("once", values["zone"], at=moment)
    seconds = _number(values["number"], "seconds") * UNITS.get(values["unit"], 0)
    return Recurrence("every", values["zone"], at=moment, seconds=seconds)


def fields(
    kind: Kind, values: Mapping[str, str], params: dict[str, Any], aimed: Targets, how: dict[str, Any]
) -> dict[str, Any]:
    """What was typed, as ``jobs.schedules.services`` takes it. Raises ``PlanRefused`` with the input that is wrong."""
    if values["overlap"] not in Schedule.Overlap.values:
        raise PlanRefused("schedule-invalid", "It is not said what to do.", "Choose one of the two.", "overlap")
    machines = {"machines": list(aimed.names)}
    # What was left empty is left out: a default takes its place.
    params = {name: value for name, value in params.items() if value not in ("", None)}
    targets = {"group": {"group": aimed.group}, "filter": aimed.selection.to_json()}.get(aimed.aim, machines)
    return asdict(recurrence(values)) | {
        "name": values["name"],
        "owner": values["owner"],
        "overlap": values["overlap"],
        "catch_up_s": _number(values["catch_up"], "catch_up_s") * 60,
        "request": stored({"kind": kind.slug, "params": params, "targets": targets, "options": how}),
    }


def _moment(text: str, zone: str) -> datetime:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=read_zone(zone))
    except ValueError:
        raise PlanRefused(
            "schedule-invalid", f"{text!r} is no time." if text else "The time is missing.", "Give day and time.", "at"
        ) from None


def _number(text: str, field: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 7:
        return int(text)
    raise PlanRefused("schedule-invalid", f"{text!r} is no whole number.", "Give a whole number.", field)


def _zone_of_page() -> str:
    name = timezone.get_current_timezone_name()
    try:
        read_zone(name)
    except PlanRefused:
        return "UTC"
    return name


def mode_words() -> dict[str, str]:
    return {
        "cron": _("At times of day or week (cron)"),
        "every": _("Every so often"),
        "once": _("Once"),
    }


def unit_words() -> dict[str, str]:
    return {"minutes": _("minutes"), "hours": _("hours"), "days": _("days"), "weeks": _("weeks")}
