"""REST: which versions go together: the site's own entries, the whole table, and what it says of a pair."""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from hardware.inventory.compatibility import services, wording
from hardware.inventory.compatibility.asking import Line, ask, lines
from hardware.inventory.compatibility.models import Entry
from hardware.inventory.compatibility.services import EntryRefused
from hardware.inventory.preflight import Part
from hardware.inventory.preflight.compatibility import NAMES
from hardware.strict import Strict, asks, takes_no_body

Serializer = serializers.BaseSerializer[Entry]


class CompatibilityEntrySerializer(Strict, serializers.ModelSerializer[Entry]):
    """``parts``: a part's name -> its versions: ``8.0.0``, a line ``25.0.*``, a range ``24.1.rc1 .. 24.1.0``, ``*``.

    ``fits``: whether every pair of them goes together, or none. ``only``: ``[a, b]``, that these versions of ``a`` go
    with no other ``b`` than the table names. ``source``: where this is known from.
    """

    parts = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField(max_length=60)), help_text=", ".join(NAMES)
    )
    only = serializers.ListField(child=serializers.CharField(), required=False, max_length=2)
    source = serializers.CharField(max_length=500)  # type: ignore[assignment]

    class Meta:
        model = Entry
        fields = [
            "id", "parts", "fits", "only", "source", "created_by", "created_at", "updated_by", "updated_at",
            "retired_by", "retired_at",
        ]  # fmt: skip
        read_only_fields = ["created_by", "updated_by", "updated_at", "retired_by", "retired_at"]


class CompatibilityRowSerializer(serializers.Serializer[Any]):
    """``origin``: an ``entry`` of the site, with who wrote it; a ``file`` of the site; the ``console``."""

    parts = serializers.DictField(child=serializers.ListField(child=serializers.CharField()))
    fits = serializers.BooleanField()
    only = serializers.ListField(child=serializers.CharField())
    source = serializers.CharField()  # type: ignore[assignment]
    origin = serializers.ChoiceField(["entry", "file", "console"])
    file = serializers.CharField()
    entry = serializers.IntegerField(allow_null=True)
    created_by = serializers.CharField()
    created_at = serializers.DateTimeField(allow_null=True)


class CompatibilityAnswerSerializer(serializers.Serializer[Any]):
    """``answer`` ``unknown``: no row names the pair, which is not taken for one that fits."""

    answer = serializers.ChoiceField(["fits", "unfit", "unknown"])
    reason = serializers.CharField()
    line = CompatibilityRowSerializer(allow_null=True)


class EntryFilter(filters.FilterSet):
    retired = filters.BooleanFilter(field_name="retired_at", lookup_expr="isnull", exclude=True)

    class Meta:
        model = Entry
        fields = ["fits", "created_by"]


class EntryViewSet(
    mixins.CreateModelMixin,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    viewsets.GenericViewSet[Entry],
):
    """The site's own entries, which are asked before the tables of files. One is retired, not deleted."""

    queryset = Entry.objects.all()
    serializer_class = CompatibilityEntrySerializer
    filterset_class = EntryFilter
    lookup_value_regex = "[0-9]+"
    http_method_names = ["get", "post", "patch", "head", "options"]

    def perform_create(self, serializer: Serializer) -> None:
        serializer.instance = _kept(lambda: services.add(serializer.validated_data, actor=self._person()))

    def perform_update(self, serializer: Serializer) -> None:
        entry = serializer.instance
        assert entry is not None
        fields = serializer.validated_data
        serializer.instance = _kept(lambda: services.replace(entry, fields, actor=self._person()))

    @extend_schema(request=None, responses=CompatibilityEntrySerializer)
    @action(detail=True, methods=["post"])
    @takes_no_body
    def retire(self, request: Request, pk: str) -> Response:
        """Ask it no longer. It stays to be read."""
        return Response(CompatibilityEntrySerializer(services.retire(self.get_object(), actor=self._person())).data)

    @extend_schema(request=None, responses=CompatibilityEntrySerializer)
    @action(detail=True, methods=["post"])
    @takes_no_body
    def restore(self, request: Request, pk: str) -> Response:
        """Ask a retired one again."""
        entry = self.get_object()
        return Response(CompatibilityEntrySerializer(_kept(lambda: services.restore(entry, actor=self._person()))).data)

    @extend_schema(responses=CompatibilityRowSerializer(many=True))
    @action(detail=False, pagination_class=None, filter_backends=[])
    def table(self, request: Request) -> Response:
        """Every row in force, entries first, then the site's file, then the console's own."""
        return Response(CompatibilityRowSerializer([_line(one) for one in lines()], many=True).data)

    @extend_schema(parameters=[OpenApiParameter(name, str) for name in NAMES], responses=CompatibilityAnswerSerializer)
    @action(detail=False, pagination_class=None, filter_backends=[])
    @asks(*NAMES)
    def ask(self, request: Request) -> Response:
        """What the table says of two parts, as in ``?driver=24.1.0&cann=8.0.0``.

        Preflight asks the packages first, whose own lists of versions are not in the table.
        """
        given = {name: str(value).strip() for name, value in request.query_params.items()}
        if unknown := sorted(set(given) - set(NAMES) - {"format"}):
            raise serializers.ValidationError({unknown[0]: [f"There is no such part; parts are {', '.join(NAMES)}."]})
        asked = [Part(name, given[name]) for name in NAMES if given.get(name)]
        if len(asked) != 2:
            raise serializers.ValidationError("Name two parts with their versions.")
        found = ask(*asked)
        answer = {True: "fits", False: "unfit", None: "unknown"}[found.verdict.fits]
        said = {"answer": answer, "reason": wording.verdict(found.verdict), "line": found.line and _line(found.line)}
        return Response(CompatibilityAnswerSerializer(said).data)

    def _person(self) -> str:
        return str(self.request.user.get_username())


def _kept(call: Any) -> Entry:
    try:
        entry: Entry = call()
    except EntryRefused as refused:
        raise serializers.ValidationError(refused.errors) from refused
    return entry


def _line(line: Line) -> dict[str, Any]:
    entry = line.entry
    return {
        "parts": line.row.parts,
        "fits": line.row.fits,
        "only": line.row.only or [],
        "source": line.row.source,
        "origin": line.origin,
        "file": line.file,
        "entry": entry.pk if entry else None,
        "created_by": entry.created_by if entry else "",
        "created_at": entry.created_at if entry else None,
    }
