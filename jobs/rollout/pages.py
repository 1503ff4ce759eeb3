"""The page that makes a release of an image, on the way from a packaged model to its rollout."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, QueryDict
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from jobs.depot.models import Artifact
from jobs.failures import PlanRefused
from jobs.pages import causes
from jobs.rollout.api import ReleaseSerializer
from jobs.rollout.models import Deployment, Release
from jobs.rollout.services import make_release
from jobs.serving.parameters import BOUNDS, Parameters

FIELDS = (
    "name", "version", "port", "devices", "smoke_text", "smoke_label", "preprocessing_workers", "max_batch",
    "memory_budget_mb",
)  # fmt: skip
# Machines that a release's page names.
MOST_ROWS = 500
# Inputs of whole numbers, with their least and most.
NUMBERS = {"port": (1024, 65535), **BOUNDS}


@require_http_methods(["GET", "POST"])
def new_release(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Name, version and how it is served; then on to the plan of its rollout."""
    image = get_object_or_404(Artifact, pk=pk, type="image")
    if request.method == "GET":
        return _form(request, image, _suggested(image), {})
    given = _given(request.POST)
    asked = ReleaseSerializer(data={**given, "image": image.pk})
    errors: dict[str, list[str]] = {}
    if not asked.is_valid():
        errors = {name: [str(line) for line in _lines(problem)] for name, problem in asked.errors.items()}
    else:
        try:
            release = make_release(actor=request.user.get_username(), **asked.validated_data)
            query = urlencode({"kind": "rollout", "params.release": release.pk})
            return HttpResponseRedirect(f"{reverse('job-new')}?{query}")
        except PlanRefused as refused:
            errors = {refused.field or "name": [f"{causes.cause(refused.cause)} {causes.mend(refused.mend)}"]}
    return _form(request, image, {name: request.POST.get(name, "") for name in FIELDS}, errors)


def _names() -> dict[str, str]:
    """The serving parameters in words."""
    return {
        "preprocessing_workers": _("Preprocessing workers"),
        "max_batch": _("Largest batch"),
        "memory_budget_mb": _("Memory budget in MB"),
    }


@require_GET
def release(request: HttpRequest, pk: int) -> HttpResponse:
    """One release: how it is served, where, and what machines have in the place of its parameters."""
    found = get_object_or_404(Release.objects.select_related("image"), pk=pk)
    there = Deployment.objects.filter(release=found).select_related("machine").defer("machine__facts")
    context = {
        "release": found,
        "parameters": [(_names()[name], value) for name, value in found.parameters.to_json().items()],
        "deployments": [
            (one, [(_names()[name], value) for name, value in one.overrides.items()])
            for one in there.order_by("machine__name")[:MOST_ROWS]
        ],
        "more": max(0, there.count() - MOST_ROWS),
    }
    return render(request, "rollout/shown.html", context)


def _form(request: HttpRequest, image: Artifact, values: dict[str, Any], errors: dict[str, list[str]]) -> HttpResponse:
    labels = {
        "name": (_("Name"), _("Lower-case letters, digits, dots, hyphens; part of the container's name.")),
        "version": (_("Version"), _("A release never changes; another way of serving is another version.")),
        "port": (_("Port on the machine"), ""),
        "devices": (_("NPUs"), _("Their numbers, as in /dev/davinci0, with commas between them.")),
        "smoke_text": (_("Smoke question"), _("It is asked of every machine before the next batch begins.")),
        "smoke_label": (_("Right answer"), _("The label that the model must give to the smoke question.")),
        "preprocessing_workers": (
            _("Preprocessing workers"), _("More of them help when requests wait while the NPU idles."),
        ),
        "max_batch": (_("Largest batch"), _("Texts in one inference; fewer need less memory.")),
        "memory_budget_mb": (
            _("Memory budget in MB"), _("Above it no further batch is begun; 0 is no budget."),
        ),
    }  # fmt: skip
    fields = [
        {
            "name": name,
            "label": label,
            "help": text,
            "value": values.get(name, ""),
            "errors": errors.get(name, ()),
            "bounds": NUMBERS.get(name),
        }
        for name, (label, text) in labels.items()
    ]
    others = [line for name, lines in errors.items() if name not in labels for line in lines]
    context = {"image": image, "fields": fields, "others": others, "there": Release.objects.filter(image=image)}
    return render(request, "rollout/release.html", context, status=422 if errors else 200)


def _suggested(image: Artifact) -> dict[str, Any]:
    name, _colon, tag = str(image.meta.get("image", "")).rpartition("/")[2].partition(":")
    return {"name": name, "version": image.version or tag, "port": 8000, "devices": "0", **Parameters().to_json()}


def _given(data: QueryDict) -> dict[str, Any]:
    """The fields as the REST API takes them; what was left empty is left out."""
    found: dict[str, Any] = {name: text for name in FIELDS if (text := data.get(name, "").strip())}
    if "devices" in found:
        found["devices"] = [part.strip() for part in found["devices"].split(",") if part.strip()]
    return found


def _lines(problem: Any) -> list[Any]:
    if isinstance(problem, dict):
        return [line for value in problem.values() for line in _lines(value)]
    return list(problem) if isinstance(problem, list | tuple) else [problem]
