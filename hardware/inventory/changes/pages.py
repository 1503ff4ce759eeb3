"""The page of what changed on a machine."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.views.decorators.http import require_GET

from hardware.inventory.changes import wording
from hardware.inventory.changes.services import PAGE, Change, between, changes
from hardware.inventory.models import Machine


@require_GET
def machine_changes(request: HttpRequest, name: str) -> HttpResponse:
    """Every change, newest first; with ``?since=DAY`` all that is different now from what was true when it began."""
    machine = get_object_or_404(Machine, name=name)
    since = _day(request.GET.get("since", ""))
    whole = between(machine, since) if since else None
    context = {
        "machine": machine,
        "since": since,
        "whole": _said(whole) if whole else None,
        "changes": [] if since else [_said(change) for change in changes(machine)],
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


def _day(text: str) -> datetime | None:
    try:
        day = parse_date(text)
    except ValueError:
        return None
    return timezone.make_aware(datetime.combine(day, time())) if day else None
