"""REST: what changed on a machine."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from hardware.inventory.changes.services import Change, between, changes
from hardware.inventory.models import Machine
from hardware.strict import Strict, in_address


class SpanSerializer(Strict):
    """``since`` and ``until`` (now, if it is left out) are times; without ``since`` every change is listed."""

    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "until" in attrs and "since" not in attrs:
            raise serializers.ValidationError({"since": ["Give since, too."]})
        if "since" in attrs and attrs["since"] > attrs.get("until", timezone.now()):
            raise serializers.ValidationError({"since": ["since lies after until."]})
        return attrs


class FactDifferenceSerializer(serializers.Serializer[Any]):
    path = serializers.CharField()
    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)


class ChangeSerializer(serializers.Serializer[Any]):
    """``since`` and ``at`` are the times of the two readings that are held against each other."""

    since = serializers.DateTimeField()
    at = serializers.DateTimeField()
    differences = FactDifferenceSerializer(many=True)


class MachineChanges(APIView):
    @extend_schema(parameters=[SpanSerializer], responses=ChangeSerializer(many=True))
    def get(self, request: Request, name: str) -> Response:
        """What changed from reading to reading, newest first; with ``since``, all that changed between two times."""
        machine = get_object_or_404(Machine, name=name)
        asked = SpanSerializer(data=in_address(request))
        asked.is_valid(raise_exception=True)
        found: list[Change]
        if "since" in asked.validated_data:
            whole = between(machine, asked.validated_data["since"], asked.validated_data.get("until"))
            found = [] if whole is None else [whole]
        else:
            found = list(changes(machine))
        return Response(ChangeSerializer(found, many=True).data)
