"""REST: the log of a job, read bit by bit, as a file, and checked against its record."""

from __future__ import annotations

from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response

from hardware.strict import Strict, asks, in_address
from jobs.logs import logbook, reading, search, text
from jobs.logs.check import check
from jobs.models import Job, JobStep

# So many of a job's machines are named in a refusal.
MOST_NAMED = 20
# No log is as long, and the socket takes no larger position either; beyond it lie numbers that no database knows.
FARTHEST = 10**18 - 1


class LogRemoved(APIException):
    """The log is kept no longer; its record is."""

    status_code = 410
    default_code = "log-removed"

    def __init__(self, job: Job) -> None:
        assert job.log_removed_at is not None
        why = {"age": "older than logs are kept", "size": "in the way of newer ones"}[job.log_removed_for]
        when = job.log_removed_at.isoformat(timespec="seconds")
        super().__init__(f"The log of job {job.pk} was removed at {when}: it was {why}.", self.default_code)


class LogSerializer(serializers.Serializer[Any]):
    """``removed_at`` is set where the log is kept no longer: there are no frames then."""

    frames = serializers.ListField(child=serializers.DictField())
    next = serializers.IntegerField()
    ended = serializers.BooleanField()
    removed_at = serializers.DateTimeField(allow_null=True)
    removed_for = serializers.CharField()


class AfterSerializer(Strict):
    """Where in the log to begin, in bytes."""

    after = serializers.IntegerField(required=False, default=0, min_value=0, max_value=FARTHEST)


class SearchSerializer(Strict):
    """What to look for: text as a person reads it, in any case of letters, within one line."""

    q = serializers.RegexField(r"\A[^\r\n]+\Z", max_length=search.LONGEST_QUERY, trim_whitespace=False)
    machine = serializers.CharField(required=False, default="", allow_blank=True)
    after = serializers.IntegerField(required=False, default=0, min_value=0, max_value=FARTHEST)
    most = serializers.IntegerField(required=False, default=100, min_value=1, max_value=search.MOST_HITS)


class HitSerializer(serializers.Serializer[Any]):
    """A line. ``position`` is where its first byte stands in the job's log, ``text`` what is around the match."""

    position = serializers.IntegerField()
    machine = serializers.CharField(allow_null=True)
    step = serializers.CharField()
    step_id = serializers.IntegerField()
    at = serializers.DateTimeField()
    text = serializers.CharField()


class FoundSerializer(serializers.Serializer[Any]):
    """``whole``: the log was searched to its end; else ask again with ``after`` = ``next``."""

    hits = HitSerializer(many=True)
    next = serializers.IntegerField()
    whole = serializers.BooleanField()
    length = serializers.IntegerField()


class CheckedSerializer(serializers.Serializer[Any]):
    """``intact``: the record has the same hash; ``null`` where it has none yet."""

    length = serializers.IntegerField()
    sha256 = serializers.CharField()
    intact = serializers.BooleanField(allow_null=True)


class CheckedStepSerializer(CheckedSerializer):
    machine = serializers.CharField(allow_null=True)
    step = serializers.CharField()
    step_id = serializers.IntegerField()


class LogCheckSerializer(serializers.Serializer[Any]):
    whole = CheckedSerializer()
    steps = CheckedStepSerializer(many=True)


def _check_machine(job: Job, machine: str) -> None:
    """Raises ``ValidationError`` for a machine that the job has no step on: its log would look like an empty one."""
    if machine and not reading.ran_on(job.pk, machine):
        ran = JobStep.objects.filter(job=job, machine__isnull=False).order_by("machine__name")
        names = list(ran.values_list("machine__name", flat=True).distinct()[: MOST_NAMED + 1])
        shown = ", ".join([*names[:MOST_NAMED], reading.CONSOLE, *(["..."] if len(names) > MOST_NAMED else [])])
        raise serializers.ValidationError({"machine": [f"Job {job.pk} has no step on {machine}; use {shown}."]})


class LogActions(viewsets.GenericViewSet[Job]):
    """What can be asked of a job's log."""

    @extend_schema(responses=LogSerializer, parameters=[AfterSerializer])
    @action(detail=True)
    @asks("after")
    def log(self, request: Request, pk: str) -> Response:
        """The log from byte ``after`` on; ``next`` is what to ask for then. It is whole when ``ended`` is true."""
        job = self.get_object()
        asked = AfterSerializer(data=in_address(request))
        asked.is_valid(raise_exception=True)
        after = asked.validated_data["after"]
        pieces = [] if job.log_removed_at else reading.read(job.pk, after)
        upto = pieces[-1].end if pieces else after
        return Response(
            {
                "frames": [logbook.frame(piece) for piece in pieces],
                "next": upto,
                "ended": job.ended and (upto >= job.log_length or job.log_removed_at is not None),
                "removed_at": job.log_removed_at,
                "removed_for": job.log_removed_for,
            }
        )

    @extend_schema(responses={(200, "text/plain"): str}, parameters=[OpenApiParameter("machine", str)])
    @action(detail=True, url_path="log-text")
    @asks("machine")
    def log_text(self, request: Request, pk: str) -> StreamingHttpResponse:
        """The whole log as text; with ``machine`` (``console`` for the console itself) its bytes as they came.

        Where the lines of all are mixed, one of more than 64 KiB is broken, its parts marked with ``+``.
        """
        job, machine = self._kept(), request.query_params.get("machine", "")
        _check_machine(job, machine)
        return StreamingHttpResponse(text.stream(job.pk, machine or None), content_type="text/plain; charset=utf-8")

    @extend_schema(responses={(200, "application/zip"): bytes})
    @action(detail=True, url_path="log-zip")
    def log_zip(self, request: Request, pk: str) -> StreamingHttpResponse:
        """A zip with a file for each machine, its bytes as they came, and ``SHA256SUMS``."""
        return StreamingHttpResponse(text.zipped(self._kept()), content_type="application/zip")

    @extend_schema(responses=FoundSerializer, parameters=[SearchSerializer])
    @action(detail=True, url_path="log-search")
    @asks("q", "machine", "after", "most")
    def log_search(self, request: Request, pk: str) -> Response:
        """Lines with a text in them, on from byte ``after``: one answer looks through 64 MiB, or 3 s, at most."""
        asked = SearchSerializer(data=in_address(request))
        asked.is_valid(raise_exception=True)
        given, job = asked.validated_data, self._kept()
        _check_machine(job, given["machine"])
        found = search.search(job, given["q"], machine=given["machine"], after=given["after"], most=given["most"])
        # Removed meanwhile, it was not searched to its end.
        self._kept()
        said = {"hits": found.hits, "next": found.next, "whole": found.whole, "length": job.log_length}
        return Response(FoundSerializer(said).data)

    @extend_schema(responses=LogCheckSerializer)
    @action(detail=True, url_path="log-check")
    def log_check(self, request: Request, pk: str) -> Response:
        """Read all that is stored and compare it with the hashes in the records of the job and its steps."""
        job = self._kept()
        everything, steps = check(job)
        # Removed meanwhile, it is neither intact nor damaged.
        self._kept()
        return Response(LogCheckSerializer({"whole": everything, "steps": steps}).data)

    def _kept(self) -> Job:
        job = self.get_object()
        if job.log_removed_at is not None:
            raise LogRemoved(job)
        return job
