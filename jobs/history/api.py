"""REST: the filters of the history, its pages, its export. ``/api/v1/jobs/`` and ``/api/v1/jobs/export.*`` use it."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import urlencode

from django.http import StreamingHttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from hardware.strict import Strict, in_address
from jobs.history import export
from jobs.history.query import Query
from jobs.history.rows import Row, read
from jobs.states import JobState

# Each combination of these is a walk of its own.
MOST_VALUES = 200


class AskedSerializer(Strict):
    """The filters. Several kinds or states are separated by commas; times are ISO 8601, ``until`` is the first moment
    that is too late. ``machines__name``, ``created_by``, ``created_at__gte``, ``created_at__lt``, ``kind__in`` and
    ``state__in`` are older names of the same.
    """

    kind = serializers.CharField(required=False, help_text="one, or several with commas between")
    state = serializers.CharField(required=False, help_text="one, or several with commas between")
    machine = serializers.CharField(required=False, help_text="the name of a machine the job works on")
    label = serializers.CharField(  # type: ignore[assignment]
        required=False, max_length=63, help_text="a label that one of its machines has now"
    )
    person = serializers.CharField(required=False, help_text="who launched it")
    since = serializers.DateTimeField(required=False, help_text="created at this time or later")
    until = serializers.DateTimeField(required=False, help_text="created before this time")
    text = serializers.CharField(required=False, max_length=200, help_text="anywhere in the cause of its failure")

    def validate_machine(self, value: str) -> str:
        return _one(value)

    def validate_person(self, value: str) -> str:
        return _one(value)

    def validate_kind(self, value: str) -> str:
        if not _several(value):
            raise serializers.ValidationError(_("Name one at least."))
        return value

    def validate_state(self, value: str) -> str:
        if not _several(value):
            raise serializers.ValidationError(_("Name one at least."))
        unknown = sorted(set(_several(value)) - set(JobState.values))
        if unknown:
            raise serializers.ValidationError(f"There is no state {', '.join(unknown)}.")
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(_several(attrs.get("kind", ""))) * max(1, len(_several(attrs.get("state", "")))) > MOST_VALUES:
            raise serializers.ValidationError(f"Ask for {MOST_VALUES} combinations of kind and state at most.")
        return attrs


class PagingSerializer(serializers.Serializer[Any]):
    """``cursor`` is out of ``next`` or ``previous``; it means nothing else."""

    page_size = serializers.IntegerField(required=False, default=50, min_value=1, max_value=500)
    cursor = serializers.RegexField(r"^[ba]\d{1,18}$", required=False)


# What else may stand in such an address: the place in the list.
_PLACE = PagingSerializer().fields.keys()
_OLDER_NAMES = {
    "kind__in": "kind", "state__in": "state", "machines__name": "machine", "created_by": "person",
    "created_at__gte": "since", "created_at__lt": "until",
}  # fmt: skip


def asked(request: Request) -> Query:
    """The filters of a request. Raises a ``ValidationError`` that names the one that can't be read, or isn't one: left
    out, it would let all jobs through.
    """
    given: dict[str, str] = {}
    for name, value in in_address(request).items():
        if value and name not in _PLACE:
            if _OLDER_NAMES.get(name, name) in given:
                raise serializers.ValidationError({name: [_("It comes twice.")]})
            given[_OLDER_NAMES.get(name, name)] = value
    checked = AskedSerializer(data=given)
    checked.is_valid(raise_exception=True)
    found = checked.validated_data
    return Query(
        kinds=_several(found.get("kind", "")),
        states=_several(found.get("state", "")),
        people=(found["person"],) if "person" in found else (),
        machine=found.get("machine", ""),
        label=found.get("label", ""),
        since=found.get("since"),
        until=found.get("until"),
        text=found.get("text", ""),
    )


def page_of(request: Request) -> tuple[list[Row], dict[str, Any]]:
    """The rows of the page that a request asks for, and what stands around them in the answer."""
    query = asked(request)
    place = PagingSerializer(data=request.query_params.dict())
    place.is_valid(raise_exception=True)
    size, cursor = place.validated_data["page_size"], place.validated_data.get("cursor", "")
    at = int(cursor[1:]) if cursor else None
    newer = cursor.startswith("a")
    found = query.slice(size, before=None if newer else at, after=at if newer else None)
    return read(found.ids), {
        "next": _link(request, f"b{found.ids[-1]}") if found.ids and found.older else None,
        "previous": _link(request, f"a{found.ids[0]}") if found.ids and found.newer else None,
        "count": found.count,
        "count_more": found.more,
    }


class CsvErrors(JSONRenderer):
    """Lets a client say that it accepts CSV; an error is a problem all the same."""

    media_type = "text/csv"
    format = "csv"


class JsonLinesErrors(JSONRenderer):
    media_type = "application/x-ndjson"
    format = "jsonl"


class _Export(APIView):
    form: ClassVar[str]

    def get(self, request: Request) -> StreamingHttpResponse:
        return export.answer(asked(request), self.form, actor=request.user.get_username())


class ExportCsv(_Export):
    form = "csv"
    renderer_classes = (JSONRenderer, CsvErrors)

    @extend_schema(parameters=[AskedSerializer], responses={(200, "text/csv"): str})
    def get(self, request: Request) -> StreamingHttpResponse:
        """All jobs that match, newest first, as CSV; it is made while it is sent."""
        return super().get(request)


class ExportLines(_Export):
    form = "jsonl"
    renderer_classes = (JSONRenderer, JsonLinesErrors)

    @extend_schema(parameters=[AskedSerializer], responses={(200, "application/x-ndjson"): str})
    def get(self, request: Request) -> StreamingHttpResponse:
        """All jobs that match, newest first, as one JSON object a line; it is made while it is sent."""
        return super().get(request)


def _one(text: str) -> str:
    """A name, in which there is no comma: of several nobody's jobs would be found."""
    if "," in text:
        raise serializers.ValidationError(_("Name one only."))
    return text


def _several(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value.strip() for value in text.split(",") if value.strip()))


def _link(request: Request, cursor: str) -> str:
    query = urlencode({**request.query_params.dict(), "cursor": cursor})
    return request.build_absolute_uri(f"{request.path}?{query}")
