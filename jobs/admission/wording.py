"""What the pages say of windows, limits, and of what a job waits for, in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from jobs import registry
from jobs.admission.limits import taken
from jobs.admission.models import Limit, Window
from jobs.schedules import wording as schedules

ALL_DAYS = list(range(7))


@dataclass(frozen=True)
class Waits:
    """What keeps a job from beginning: a sentence, until when, what to do, and whether a person may overrule it."""

    cause: str
    until: datetime | None = None
    mend: str = ""
    urgent: bool = False


def waits(said: Mapping[str, Any]) -> Waits | None:
    """``Job.waits_on`` of a window or a limit in words; ``None`` for what it is not about."""
    if said.get("reason") == "window":
        return _window(said)
    if said.get("reason") == "limit":
        return _limit(said)
    return None


def _window(said: Mapping[str, Any]) -> Waits:
    until = parse_datetime(said["until"]) if said.get("until") else None
    machines, closed = ", ".join(said["machines"]), said["closed"] - len(said["machines"])
    if closed > 0:
        machines = _("%(names)s and %(n)s more") % {"names": machines, "n": closed}
    windows = ", ".join(said["windows"])
    if windows:
        cause = _("Jobs may not begin on %(machines)s now (%(windows)s).") % {"machines": machines, "windows": windows}
    else:
        cause = _("The windows of its machines are not open at the same time now.")
    if until is not None:
        return Waits(cause, until, urgent=True)
    if said["unknown"]:
        mend = _("Nothing says how long it takes: launch it with a time limit that fits into the window.")
    else:
        mend = _("They are not open together within %(days)s days: change the windows, or take machines out.") % {
            "days": said["days"]
        }
    return Waits(cause, None, mend, urgent=True)


def _limit(said: Mapping[str, Any]) -> Waits:
    kind = registry.all_kinds().get(said["kind"])
    values = {
        "used": said["used"],
        "most": said["most"],
        "width": said["width"],
        "site": said["site"],
        "kind": str(kind.title) if kind else said["kind"],
    }
    if said.get("wide"):
        cause = _("It works on %(width)s machines at a time; the limit allows %(most)s.") % values
        return Waits(cause, None, _("Launch it with smaller batches or fewer machines at a time, or raise the limit."))
    if said.get("behind"):
        return Waits(_("What is free is kept for a job that has waited longer, or has a higher priority."))
    return Waits(_counted(said, values))


def _counted(said: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    if said["counts"] == "machines":
        if said["site"]:
            return _("%(used)s of %(most)s machines of %(site)s are being changed.") % values
        return _("%(used)s of %(most)s machines are being changed.") % values
    if said["kind"] and said["site"]:
        return _("%(used)s of %(most)s of this kind run at %(site)s.") % values
    if said["kind"]:
        return _("%(used)s of %(most)s of this kind run.") % values
    if said["site"]:
        return _("%(used)s of %(most)s jobs run at %(site)s.") % values
    return _("%(used)s of %(most)s jobs run.") % values


def when(window: Window) -> str:
    """``Sat, Sun 22:00 to 04:00``; ``2026-12-24 18:00 to 2027-01-02 08:00``."""
    if window.kind == Window.Kind.FREEZE:
        zone = ZoneInfo(window.zone)
        begin, end = (
            f"{moment.astimezone(zone):%Y-%m-%d %H:%M}" if moment else "–"
            for moment in (window.starts_at, window.stops_at)
        )
    else:
        begin, end = (f"{clock:%H:%M}" if clock else "–" for clock in (window.begins, window.ends))
    span = _("%(begin)s to %(end)s") % {"begin": begin, "end": end}
    if window.kind == Window.Kind.FREEZE:
        return span
    if window.weekdays == ALL_DAYS:
        return _("every day %(span)s") % {"span": span}
    return f"{', '.join(_(schedules.WEEKDAYS[day]) for day in window.weekdays)} {span}"


def weekdays() -> list[tuple[str, str]]:
    return [(str(number), _(name)) for number, name in enumerate(schedules.WEEKDAYS)]


def use(limit: Limit) -> dict[str, int]:
    """What is under way of a limit now."""
    return {"jobs_used": taken(limit, "jobs"), "machines_used": taken(limit, "machines")}


def refusal(cause: str, mend: str) -> str:
    """A refusal's two sentences."""
    return " ".join(schedules.refusal(cause, mend))
