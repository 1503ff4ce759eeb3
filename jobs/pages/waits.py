"""Why a job does not run yet, in words: what is in its way, until when, and where that can be looked at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.urls import NoReverseMatch, reverse
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from jobs.admission import wording
from jobs.models import Job
from jobs.pages import causes
from jobs.states import JobState


@dataclass
class Wait:
    """``short`` fits into a row of a list; ``what`` and ``why`` stand over a job. ``until``: when it may begin.

    ``link`` is an address with its words, ``None`` when there is nowhere to look. ``urgent``: a
    person may overrule what is in the way.
    """

    short: str
    what: str
    why: str = ""
    until: datetime | None = None
    link: tuple[str, str] | None = None
    urgent: bool = False


def of(job: Job) -> Wait | None:
    """What a waiting job waits for; ``None`` for a job that does not wait."""
    if job.state != JobState.WAITING:
        return None
    found = said(job.waits_on, job.waits_for_id)
    if job.waits_on.get("reason") == "dependency" and not job.plan_hash:
        found.why = _("This job is planned when that one has ended, from what is true then.")
    return found


def said(waits_on: dict[str, Any], job: int | None) -> Wait:
    """What ``Job.waits_on`` (or the reason of a transition) says."""
    until = _moment(waits_on.get("until"))
    to_job = (reverse("job", args=[job]), _("Open job %(id)s") % {"id": job}) if job else None
    match waits_on.get("reason"):
        case "time":
            return Wait(_("not before its time"), _("Not before its time."), until=until)
        case "window" | "limit" as reason:
            short = _("for a window") if reason == "window" else _("for room")
            what = _("Waits for a maintenance window.") if reason == "window" else _("Waits for room.")
            if job is not None:
                what = _("Waits for job %(id)s.") % {"id": job}
            known = wording.waits(waits_on)
            assert known is not None, "these are what it is about"
            link = to_job or _page("windows", _("Windows and limits"))
            return Wait(short, what, f"{known.cause} {known.mend}".strip(), known.until, link, known.urgent)
        case "ahead":
            return Wait(
                _("behind job %(id)s") % {"id": job},
                _("Job %(id)s comes before it in line.") % {"id": job},
                _("That one waits for a machine of this job, and has the higher priority or is older."),
                link=to_job,
            )
        case "dependency" if "schedule" in waits_on:
            why = _("Its schedule begins no job before the last one has ended.")
            return Wait(_after(job), _("Begins when job %(id)s has ended.") % {"id": job}, why, link=to_job)
        case "dependency":
            what = _("Begins when job %(id)s has ended well.") % {"id": job} if job else _("Waits for its turn.")
            return Wait(_after(job), what, _("This one needs what that one does."), link=to_job)
    if job is None:
        return Wait(_("for its turn"), _("Waits for its turn."), until=until)
    names = ", ".join(waits_on.get("machines", [])[:8])
    held = _("It holds %(names)s; one job at a time may change a machine.") % {"names": names} if names else ""
    what = _("Waits for job %(id)s.") % {"id": job}
    return Wait(_("for job %(id)s") % {"id": job}, what, held, link=to_job)


def _after(job: int | None) -> str:
    return _("after job %(id)s") % {"id": job} if job else _("for its turn")


def _page(name: str, words: str) -> tuple[str, str] | None:
    try:
        return reverse(name), words
    except NoReverseMatch:
        return None


def _moment(text: Any) -> datetime | None:
    return parse_datetime(text) if isinstance(text, str) else None


def cause(reason: dict[str, Any]) -> str:
    """Why a job went from one state to another, in a few words."""
    if reason.get("took_over"):
        return _("taken over: the lease of its worker had run out")
    if reason.get("cause"):
        return causes.cause(str(reason["cause"]))
    if reason.get("reason"):
        return said(reason, reason.get("job")).short
    if reason.get("plan"):
        return _("plan %(hash)s") % {"hash": str(reason["plan"])[:12]}
    if reason.get("before"):
        return _("before %(steps)s") % {"steps": ", ".join(reason["before"])}
    return ""
