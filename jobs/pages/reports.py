"""The page that a kind has for its result, and the report itself as a file."""

from __future__ import annotations

import json

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from jobs import registry, reports
from jobs.models import Job


def title(job: Job) -> str:
    """What the page of a job's result is called; empty when it has none."""
    kind = registry.all_kinds().get(job.kind)
    return str(kind.report_title) if kind and kind.has_report(job) else ""


@require_GET
def report(request: HttpRequest, pk: int) -> HttpResponse:
    """The result of a job, as its kind shows it."""
    found = get_object_or_404(Job.objects.defer("traceback"), pk=pk)
    kind = registry.all_kinds().get(found.kind)
    if kind is None or not kind.has_report(found):
        raise Http404
    told = reports.of(found)
    context = {
        "job": found,
        "title": kind.report_title,
        "whole": told.whole,
        "has_file": bool(told.report),
        **kind.report_page(found, told.report, whole=told.whole),
    }
    return render(request, kind.report_template, context)


@require_GET
def report_file(request: HttpRequest, pk: int) -> HttpResponse:
    """The report as JSON."""
    found = get_object_or_404(Job.objects.defer("plan", "traceback"), pk=pk)
    told = reports.of(found).report
    if not told:
        raise Http404
    content = json.dumps(told, ensure_ascii=False, indent=1)
    answer = HttpResponse(content, content_type="application/json; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="job-{pk}-report.json"'
    return answer
