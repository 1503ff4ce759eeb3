"""REST: saved groups of machines and who belongs to them now."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from hardware.inventory.groups.models import Group
from hardware.inventory.groups.services import change, delete, make
from hardware.inventory.models import Machine
from hardware.inventory.selection import USABLE, Selection
from hardware.strict import Strict

STATES = ("ready", "attention", "unprobed", "silent", "new", "blocked", "retired")


class SelectionSerializer(Strict):
    """Filters; a machine must pass all that are set. ``labels`` must all be on it."""

    text = serializers.CharField(required=False, max_length=200, help_text="in name, address, site or a label")
    site = serializers.CharField(required=False, max_length=63)
    # None at all would let every machine through.
    labels = serializers.ListField(child=serializers.CharField(max_length=63), required=False, allow_empty=False)
    state = serializers.ChoiceField([(state, state) for state in STATES], required=False)
    chip = serializers.CharField(required=False, max_length=63)
    driver = serializers.CharField(required=False, max_length=63)


class GroupSerializer(Strict, serializers.ModelSerializer[Group]):
    """Give ``machines`` (their names), or a ``query`` that says who belongs to it; not both."""

    machines = serializers.SlugRelatedField(
        slug_field="name", many=True, queryset=Machine.objects.defer("facts"), required=False
    )
    query = SelectionSerializer(required=False)

    class Meta:
        model = Group
        fields = ["name", "note", "machines", "query", "created_by", "created_at"]
        read_only_fields = ["created_by"]

    def validate_name(self, value: str) -> str:
        if self.instance is not None and value != self.instance.name:
            raise serializers.ValidationError("Schedules know the group by its name. Make another group instead.")
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        query = Selection.from_json(attrs.get("query", {}))
        if query and attrs.get("machines"):
            raise serializers.ValidationError({"query": ["Give machines or a query, not both."]})
        if self.instance is None and not query and not attrs.get("machines"):
            raise serializers.ValidationError({"machines": ["Give machines, or a query that says which."]})
        if "query" in attrs and not query:
            if getattr(self.instance, "query", None) and "machines" not in attrs:
                raise serializers.ValidationError({"query": [_("Give a filter, or machines in its place.")]})
            del attrs["query"]
        return attrs


class MemberSerializer(serializers.Serializer[Any]):
    """``usable``: a job on this group works on it now."""

    name = serializers.CharField()
    site = serializers.CharField()
    state = serializers.CharField()
    usable = serializers.BooleanField()


class GroupViewSet(viewsets.ModelViewSet[Group]):
    queryset = Group.objects.prefetch_related("machines")
    serializer_class = GroupSerializer
    lookup_field = "name"
    lookup_value_regex = r"[A-Za-z0-9][A-Za-z0-9._-]*"
    filterset_fields = ["name"]
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]

    def perform_create(self, serializer: serializers.BaseSerializer[Group]) -> None:
        serializer.instance = make(actor=self._person(), **_given(serializer))

    def perform_update(self, serializer: serializers.BaseSerializer[Group]) -> None:
        assert serializer.instance is not None
        given = _given(serializer)
        given.pop("name", None)
        serializer.instance = change(serializer.instance, actor=self._person(), **given)

    def perform_destroy(self, instance: Group) -> None:
        delete(instance, actor=self._person())

    @extend_schema(responses=MemberSerializer(many=True))
    @action(detail=True, pagination_class=None, filter_backends=[])
    def members(self, request: Request, name: str) -> Response:
        """Who belongs to it now."""
        return Response(
            [
                {"name": one.name, "site": one.site, "state": one.state, "usable": one.state in USABLE}
                for one in self.get_object().members()
            ]
        )

    def _person(self) -> str:
        return str(self.request.user.get_username())


def _given(serializer: serializers.BaseSerializer[Group]) -> dict[str, Any]:
    given = dict(serializer.validated_data)
    if "query" in given:
        given["query"] = Selection.from_json(given["query"])
    return given
