"""The page that says which machines can take a release or a package, grouped by what stands in the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import pgettext_lazy
from django.views.decorators.http import require_GET
from rest_framework.exceptions import ValidationError

from hardware.inventory import wording
from hardware.inventory.groups.models import Group
from hardware.inventory.models import Machine
from hardware.inventory.selection import Selection, labels_of, sites_of
from jobs.depot.models import Artifact
from jobs.depot.services import Depot
from jobs.failures import PlanRefused
from jobs.pages import forms
from jobs.pages.readiness import mend_url
from jobs.pages.targets import MOST_NAMES
from jobs.readiness.api import table
from jobs.readiness.fleet import OUTCOMES, PACKAGES, Aim, Cause, Fleet, Verdict, assess, members, of_package, of_release
from jobs.rollout.models import Release

PAGE = 100
# Machines that are named with a cause.
TOLD = 8
# Releases and packages that are offered, newest first; an address may name any.
OFFERED = 200
WORDS = {
    "block": pgettext_lazy("readiness", "Can’t take it"),
    "unknown": pgettext_lazy("readiness", "Not known"),
    "warn": pgettext_lazy("readiness", "Can, with warnings"),
    "pass": pgettext_lazy("readiness", "Can take it"),
    "unprobed": pgettext_lazy("readiness", "Not probed"),
    "unused": pgettext_lazy("readiness", "Not in use"),
}
# Which state's colour and symbol an outcome has.
_STATES = {"unprobed": "unprobed", "unused": "retired"}


@dataclass
class Shown:
    """A cause as the page shows it."""

    cause: Cause

    @property
    def words(self) -> str:
        return wording.cause(self.cause.check)

    @property
    def reason(self) -> str:
        said = wording.reason(self.cause.check)
        return said if self.cause.same else _("For example: %(reason)s") % {"reason": said}

    @property
    def names(self) -> str:
        told = ", ".join(self.cause.machines[:TOLD])
        return f"{told} …" if len(self.cause.machines) > TOLD else told

    @property
    def url(self) -> str:
        return mend_url(self.cause.mend, self.cause.machines) if self.cause.mend else ""

    @property
    def button(self) -> str:
        return wording.button(self.cause.mend) if self.cause.mend else ""


@require_GET
def page(request: HttpRequest) -> HttpResponseBase:
    """``for`` is ``release-ID`` or ``artifact-ID``; ``site``, ``label``, ``group`` and ``outcome`` filter.

    With ``format=csv`` the same as a file.
    """
    asked = {name: request.GET.get(name, "").strip() for name in ("for", "site", "label", "group", "outcome", "q")}
    choices, known = _offered(), _machines()
    context: dict[str, Any] = {
        "asked": asked, "choices": choices, "sites": sites_of(known), "labels": labels_of(known),
        "groups": list(Group.objects.values_list("name", flat=True)), "outcomes": _outcomes({}),
    }  # fmt: skip
    if not asked["for"] and choices:
        asked["for"] = choices[0][1][0][0]
    try:
        aim = _aim(asked["for"])
        group = Group.objects.filter(name=asked["group"]).first() if asked["group"] else None
        labels = (asked["label"],) if asked["label"] else ()
        fleet = assess(aim, members(Selection(asked["q"], asked["site"], labels), group)) if aim else None
    except PlanRefused as refused:
        return render(request, "readiness/readiness.html", context | {"refused": refused}, status=422)
    except ValidationError as wrong:
        return render(request, "readiness/readiness.html", context | {"wrong": str(wrong.detail)}, status=422)
    if aim is None or fleet is None:
        return render(request, "readiness/readiness.html", context, status=404 if asked["for"] else 200)
    shown = fleet.of(asked["outcome"]) if asked["outcome"] in OUTCOMES else fleet.verdicts
    if request.GET.get("format") == "csv":
        return table(shown, f"readiness-{aim.key}.csv")
    return _shown(request, aim, fleet, shown, context)


def _shown(request: HttpRequest, aim: Aim, fleet: Fleet, shown: list[Verdict], context: dict[str, Any]) -> HttpResponse:
    can = [verdict.machine.name for verdict in fleet.of("pass", "warn")]
    query = {"kind": aim.kind, "machine": can[:MOST_NAMES]} | forms.query(aim.params)
    part = Paginator(shown, PAGE).get_page(request.GET.get("page"))
    rows = [
        {
            "machine": verdict.machine,
            "state": _STATES.get(verdict.outcome, verdict.outcome),
            "words": WORDS[verdict.outcome],
            "reasons": [(check.severity, wording.reason(check)) for check in verdict.checks],
        }
        for verdict in part.object_list
    ]
    context |= {
        "aim": aim,
        "outcomes": _outcomes(fleet.counts),
        "causes": [Shown(cause) for cause in fleet.causes],
        "total": len(fleet.verdicts),
        "can": len(can),
        "most": MOST_NAMES if len(can) > MOST_NAMES else 0,
        "launch_url": f"{reverse('job-new')}?{urlencode(query, doseq=True)}" if can else "",
        "part": part,
        "rows": rows,
        "shown": len(shown),
        "unprobed": fleet.counts["unprobed"],
    }
    return render(request, "readiness/readiness.html", context)


def _outcomes(counts: dict[str, int]) -> list[tuple[str, str, Any, int]]:
    """(outcome, state, words, how many)."""
    return [(name, _STATES.get(name, name), WORDS[name], counts.get(name, 0)) for name in OUTCOMES]


def _aim(key: str) -> Aim | None:
    """Raises ``PlanRefused`` for a package that is not installed by itself."""
    what, _dash, number = key.partition("-")
    if not (number.isascii() and number.isdigit() and len(number) < 16):
        return None
    if what == "release":
        release = Release.objects.filter(pk=number).first()
        return of_release(release) if release else None
    artifact = Artifact.objects.filter(pk=number).first() if what == "artifact" else None
    return of_package(artifact, Depot()) if artifact else None


def _offered() -> list[tuple[str, list[tuple[str, str]]]]:
    """What can be asked about, by group."""
    releases = [(f"release-{release.pk}", str(release)) for release in Release.objects.all()[:OFFERED]]
    packages = Artifact.objects.filter(type__in=PACKAGES)[:OFFERED]
    listed = [(_("Releases"), releases), (_("Packages"), [(f"artifact-{one.pk}", one.name) for one in packages])]
    return [(words, those) for words, those in listed if those]


def _machines() -> list[Machine]:
    return list(Machine.objects.exclude(state=Machine.State.RETIRED).only("site", "labels"))
