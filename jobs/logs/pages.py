"""The log of a job as a file, for a person."""

from __future__ import annotations

from collections.abc import AsyncIterator

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from jobs.logs import text
from jobs.logs.reading import ran_on
from jobs.models import Job

# A longer log is opened at its end: a browser that holds much more of it gets slow.
WHOLE_BYTES = 16 << 20
END_BYTES = 4 << 20


def begins_at(job: Job) -> int:
    """The byte that the job's page reads the log from."""
    return 0 if job.log_length <= WHOLE_BYTES else job.log_length - END_BYTES


@require_GET
def log_text(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The whole log as a file; ``?machine=NAME`` one machine's bytes as they came."""
    found = get_object_or_404(Job, pk=pk)
    machine = request.GET.get("machine", "")
    if machine and not ran_on(pk, machine):
        raise Http404
    name = f"job-{pk}{'-' + machine if machine else ''}.log"
    return _file(found, text.stream(found.pk, machine or None), name, "text/plain; charset=utf-8")


@require_GET
def log_zip(request: HttpRequest, pk: int) -> HttpResponseBase:
    """A zip with a file for each machine."""
    found = get_object_or_404(Job, pk=pk)
    return _file(found, text.zipped(found), f"job-{pk}-logs.zip", "application/zip")


def _file(job: Job, parts: AsyncIterator[bytes], name: str, type: str) -> HttpResponseBase:
    if job.log_removed_at is not None:
        return HttpResponse(_("The log was removed."), status=410, content_type="text/plain; charset=utf-8")
    answer = StreamingHttpResponse(parts, content_type=type)
    safe = "".join(c for c in name if c.isascii() and (c.isalnum() or c in "-._"))
    answer["Content-Disposition"] = f'attachment; filename="{safe}"'
    return answer
