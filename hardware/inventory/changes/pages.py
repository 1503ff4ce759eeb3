"""The page of what changed on a machine."""

from __future__ import annotations

from datetime import MAXYEAR, MINYEAR, date, datetime, time, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from hardware.inventory.changes import wording
from hardware.inventory.changes.services import PAGE, Change, between, changes
from hardware.inventory.models import Machine


@require_GET
def machine_changes(request: HttpRequest, name: str) -> HttpResponse:
    """Every change, newest first; with ``?since=DAY`` all that is different from what was true when that day began,
    now or, with ``&until=DAY``, when that one ended.
    """
    machine = get_object_or_404(Machine, name=name)
    since, until = (_day(request.GET.get(end, "")) for end in ("since", "until"))
    refusal = _refusal(since, until)
    whole = None
    if since and not refusal:
        whole = between(machine, _moment(since), _moment(until, time.max) if until else None)
    context = {
        "machine": machine,
        "since": since,
        "until": until,
        "refusal": refusal,
        "whole": _said(whole) if whole else None,
        "changes": [] if since or until else [_said(change) for change in changes(machine)],
        "days": [timezone.localdate() - timedelta(days=days) for days in (1, 7, 30)],
        "most": PAGE,
        "readings": machine.snapshots.count(),
    }
    return render(request, "machines/changes.html", context)


def _said(change: Change) -> dict[str, Any]:
    """A change with its values in words; what was not there is left out."""
    found = [
        {
            "path": one.path,
            "words": words,
            "unit": unit,
            "before": wording.value(one.path, one.before),
            "after": wording.value(one.path, one.after),
        }
        for one in change.differences
        for words, unit in [wording.fact(one.path)]
    ]
    return {"since": change.since, "at": change.at, "differences": found}


def _day(text: str) -> date | None:
    try:
        day = parse_date(text)
    except ValueError:
        return None
    # The first and the last year have moments that are none in another zone.
    return day if day and MINYEAR < day.year < MAXYEAR else None


def _refusal(since: date | None, until: date | None) -> str:
    """Why two days can't be compared, in one sentence; empty where they can."""
    if until and not since:
        return _("Choose the first day, too.")
    if since and since > (until or timezone.localdate()):
        return _("The first day lies after the last: choose an earlier one.")
    return ""


def _moment(day: date, at: time = time.min) -> datetime:
    return timezone.make_aware(datetime.combine(day, at))
