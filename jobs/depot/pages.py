"""The depot's pages: what is in it, by type; bringing a file in; holding a blob against its hash."""

from __future__ import annotations

from typing import Any, BinaryIO, cast

from django.contrib import messages
from django.db.models import Case, Count, Q, QuerySet, When
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from rest_framework.exceptions import ValidationError

from jobs.depot import files
from jobs.depot.models import Artifact
from jobs.depot.recognize import recognize
from jobs.depot.services import ingest, verify
from jobs.failures import JobFailed
from jobs.models import Job, JobStep
from jobs.pages import causes, reports
from jobs.rollout.models import Release

PAGE = 50
USES = 20
# The types that a person brings in or that jobs make, in the order of the main job. The set is open.
TYPES = {
    "driver": gettext_lazy("Driver"),
    "firmware": gettext_lazy("Firmware"),
    "cann": gettext_lazy("CANN toolkit"),
    "os-package": gettext_lazy("OS package"),
    "mindspore": gettext_lazy("MindSpore"),
    "wheel": gettext_lazy("Python wheel"),
    "checkpoint": gettext_lazy("Checkpoint"),
    "head": gettext_lazy("Classifier head"),
    "calibration": gettext_lazy("Calibration set"),
    "model": gettext_lazy("Model"),
    "aipp": gettext_lazy("AIPP configuration"),
    "manifest": gettext_lazy("Manifest"),
    "quantization-report": gettext_lazy("Quantization report"),
    "profile": gettext_lazy("Model profile"),
    "parallel-plan": gettext_lazy("Parallel plan"),
    "launch-parameters": gettext_lazy("Launch parameters"),
    "rank-table": gettext_lazy("Rank table"),
    "shard": gettext_lazy("Shard of a checkpoint"),
    "shard-list": gettext_lazy("List of shards"),
    "measurement": gettext_lazy("Measurement"),
    "base-image": gettext_lazy("Base image"),
    "image": gettext_lazy("Image"),
}
# Of what is known about an artifact, what its row shows.
SHOWN = ("architecture", "chip", "format", "scheme", "soc_version", "package")


@require_http_methods(["GET", "POST"])
def depot(request: HttpRequest) -> HttpResponse:
    """Artifacts by type; by POST a file comes in (the page's script sends it to the REST API, with progress)."""
    if request.method == "POST":
        return _upload(request)
    return _page(request, {})


def _page(request: HttpRequest, failure: dict[str, Any], status: int = 200) -> HttpResponse:
    wanted, text = request.GET.get("type", ""), request.GET.get("q", "").strip()
    found: QuerySet[Artifact] = Artifact.objects.all()
    if wanted:
        found = found.filter(type=wanted)
    if text:
        found = found.filter(Q(name__icontains=text) | Q(version__icontains=text) | Q(sha256__startswith=text.lower()))
    number = request.GET.get("page", "1")
    first = PAGE * (max(1, int(number)) - 1) if number.isascii() and number.isdigit() and len(number) < 7 else 0
    places = [When(type=name, then=place) for place, name in enumerate(TYPES)]
    found = found.order_by(Case(*places, default=len(TYPES)), "type", "-pk")
    artifacts = list(found[first : first + PAGE + 1])
    counts = dict(Artifact.objects.order_by().values_list("type").annotate(n=Count("pk")))
    context = {
        "rows": _rows(artifacts[:PAGE]),
        "next_page": first // PAGE + 2 if len(artifacts) > PAGE else None,
        "previous_page": first // PAGE or None,
        "types": [(name, title(name), counts.get(name, 0)) for name in {**TYPES, **counts}],
        "total": sum(counts.values()),
        "wanted": wanted,
        "wanted_title": title(wanted) if wanted else "",
        "text": text,
        "failure": failure,
        "typed": request.POST,
    }
    return render(request, "depot/depot.html", context, status=status)


def title(type: str) -> str:
    return str(TYPES.get(type, type))


def _rows(artifacts: list[Artifact]) -> list[dict[str, Any]]:
    made_by = {artifact.pk: _job(artifact) for artifact in artifacts}
    jobs = Job.objects.defer("plan", "traceback").in_bulk([job for job in made_by.values() if job])
    titles = {job.pk: reports.title(job) for job in jobs.values()}
    return [_row(artifact, made_by[artifact.pk], titles) for artifact in artifacts]


def _job(artifact: Artifact) -> int | None:
    """The job that made it."""
    kind, _, number = artifact.created_by.partition(":")
    return int(number) if kind == "job" and number.isdigit() else None


def _row(artifact: Artifact, job: int | None, titles: dict[int, str]) -> dict[str, Any]:
    return {
        "artifact": artifact,
        "type": title(artifact.type),
        "facts": [(name, artifact.meta[name]) for name in SHOWN if artifact.meta.get(name)],
        "job": job if job in titles else None,
        "report": titles.get(job, "") if job else "",
        "can_be_taken": files.can_be_taken(artifact.type, artifact.size),
    }


def _upload(request: HttpRequest) -> HttpResponse:
    file = request.FILES.get("file")
    expected = request.POST.get("expected_sha256", "").strip()
    kind = request.POST.get("type", "").strip() or (recognize(str(file.name)).type if file else "")
    if file is None:
        return _page(request, {"cause": _("No file was chosen."), "mend": _("Choose one.")}, 422)
    if not kind:
        return _page(request, {"cause": _("Its name does not tell its type."), "mend": _("Choose the type.")}, 422)
    if expected and (len(expected) != 64 or set(expected.lower()) - set("0123456789abcdef")):
        said = {"cause": _("That is no SHA-256."), "mend": _("It has 64 digits, 0 to 9 and a to f.")}
        return _page(request, said, 422)
    try:
        made = ingest(
            cast(BinaryIO, file),
            name=str(file.name),
            type=kind,
            actor=request.user.get_username(),
            version=request.POST.get("version", "").strip()[:64],
            expected_sha256=expected,
            origin="upload",
        )
    except JobFailed as wrong:
        return _page(
            request, {"cause": causes.cause(wrong.cause), "mend": causes.mend(wrong.mend), "code": wrong.code}, 422
        )
    except ValidationError as wrong:
        return _page(request, {"cause": str(wrong.detail), "mend": ""}, 422)
    messages.success(request, _("%(name)s is in the depot.") % {"name": made.name})
    return HttpResponseRedirect(f"{reverse('depot')}?type={made.type}")


@require_POST
def check(request: HttpRequest, pk: int) -> HttpResponse:
    """Read the blob again and say in its row whether it is what it was."""
    artifact = get_object_or_404(Artifact, pk=pk)
    try:
        verify(artifact)
        failure = None
    except JobFailed as wrong:
        failure = wrong
    return render(request, "depot/verified.html", {"artifact": artifact, "failure": failure})


@require_GET
def file(request: HttpRequest, pk: int) -> HttpResponse:
    """The artifact itself, where it is one that people carry elsewhere."""
    artifact = get_object_or_404(Artifact, pk=pk)
    if not files.can_be_taken(artifact.type, artifact.size):
        raise Http404
    try:
        return files.answer(artifact)
    except JobFailed as wrong:
        return HttpResponse(
            f"{causes.cause(wrong.cause)} {causes.mend(wrong.mend)}",
            status=410,
            content_type="text/plain; charset=utf-8",
        )


@require_GET
def uses(request: HttpRequest, pk: int) -> HttpResponse:
    """Where an artifact is used: releases, and the newest jobs that sent it to machines or read it."""
    artifact = get_object_or_404(Artifact, pk=pk)
    sent = JobStep.objects.filter(action__type="send", action__sha256=artifact.sha256)
    jobs = Job.objects.filter(pk__in=sent.values("job")).defer("plan", "traceback").order_by("-pk")
    made_from = [a for a in Artifact.objects.order_by("-pk")[:500] if artifact.sha256 in a.meta.values()]
    context = {
        "releases": Release.objects.filter(image=artifact)[:USES],
        "jobs": jobs[:USES],
        "made_from": made_from[:USES],
    }
    return render(request, "depot/uses.html", context)
