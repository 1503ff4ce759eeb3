"""What stands around every page: the rail, theme, language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext_lazy as _

from console.preferences import theme
from hardware.telemetry.alerts.finding import waiting
from jobs.models import Job
from jobs.states import HELD, JobState

# url name, icon, words, the other pages that belong to it
SECTIONS = (
    ("overview", "overview", _("Overview"), ()),
    (
        "machines",
        "machines",
        _("Machines"),
        (
            "machine-add",
            "machine",
            "machine-changes",
            "machine-edit",
            "machine-import",
            "machine-scan",
            "groups",
            "group",
            "readiness",
            "compatibility",
            "compatibility-new",
            "compatibility-entry",
        ),
    ),
    (
        "alerts",
        "alerts",
        _("Alerts"),
        ("alert", "alerts-history", "alert-rules", "alert-rule", "alert-rule-new", "silences", "notifications"),
    ),
    ("depot", "depot", _("Depot"), ("release", "release-new")),
    ("jobs", "jobs", _("Jobs"), ("job", "job-new", "job-report", "job-cancel")),
    ("pipelines", "rollouts", _("Pipelines"), ("pipeline", "pipeline-new")),
    ("approvals", "shield", _("Approvals"), ("approval", "approval-rules")),
    ("schedules", "cal", _("Schedules"), ("schedule", "schedule-new", "schedule-edit", "windows", "limits")),
    ("support-bot", "chat", _("Support bot"), ()),
)

# Beside a section's name: how many jobs are in one of these states.
_COUNTED = {"jobs": HELD, "approvals": (JobState.PROPOSED,)}


@dataclass(frozen=True)
class Section:
    url: str
    icon: str
    words: Any
    current: bool
    count: int = 0
    # Of what: of jobs under way, or of what waits for a person.
    waits: bool = False


def shell(request: HttpRequest) -> dict[str, Any]:
    """Context of ``base.html``. The rail shows the pages that exist."""
    around: dict[str, Any] = {"theme": theme(request), "sections": []}
    user = getattr(request, "user", None)
    if user is not None and user.is_authenticated:
        around["sections"] = _sections(request)
    return around


def _sections(request: HttpRequest) -> list[Section]:
    here = request.resolver_match.url_name if request.resolver_match else ""
    made = []
    for name, symbol, words, below in SECTIONS:
        try:
            url = reverse(name)
        except NoReverseMatch:
            continue
        waits = name in ("approvals", "alerts")
        made.append(Section(url, symbol, words, here == name or here in below, _count(name), waits))
    return made


def _count(name: str) -> int:
    if name == "alerts":
        return waiting()
    states = _COUNTED.get(name, ())
    return Job.objects.filter(state__in=states).count() if states else 0
