"""What stands around every page: the rail, theme, language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext_lazy as _

from console.preferences import THEMES, theme
from jobs.models import Job
from jobs.states import HELD

# url name, icon, words, the other pages that belong to it
SECTIONS = (
    ("overview", "overview", _("Overview"), ()),
    ("machines", "machines", _("Machines"), ("machine-add", "machine")),
    ("depot", "depot", _("Depot"), ()),
    ("jobs", "jobs", _("Jobs"), ("job", "job-new")),
    ("support-bot", "chat", _("Support bot"), ()),
)


@dataclass(frozen=True)
class Section:
    url: str
    icon: str
    words: Any
    current: bool
    count: int = 0


def shell(request: HttpRequest) -> dict[str, Any]:
    """Context of ``base.html``. The rail shows the pages that exist."""
    wanted = theme(request)
    around: dict[str, Any] = {
        "theme": wanted,
        "theme_next": THEMES[(THEMES.index(wanted) + 1) % len(THEMES)],
        "sections": [],
    }
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
        count = Job.objects.filter(state__in=HELD).count() if name == "jobs" else 0
        made.append(Section(url, symbol, words, here == name or here in below, count))
    return made
