"""REST: artifacts."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from hardware.strict import Strict
from jobs.depot import files
from jobs.depot.models import Artifact
from jobs.depot.services import ingest, verify


class ArtifactSerializer(Strict, serializers.ModelSerializer[Artifact]):
    file = serializers.FileField(write_only=True)
    expected_sha256 = serializers.RegexField(r"^[0-9A-Fa-f]{64}$", write_only=True, required=False)

    class Meta:
        model = Artifact
        fields = [
            "id", "type", "name", "version", "sha256", "size", "meta", "origin", "created_by", "created_at", "file",
            "expected_sha256",
        ]  # fmt: skip
        read_only_fields = ["sha256", "size", "created_by"]


class ArtifactViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.CreateModelMixin, viewsets.GenericViewSet[Artifact]
):
    queryset = Artifact.objects.all()
    serializer_class = ArtifactSerializer
    filterset_fields = ["type", "name", "version", "sha256"]
    parser_classes = (MultiPartParser,)

    def perform_create(self, serializer: serializers.BaseSerializer[Artifact]) -> None:
        given: dict[str, Any] = dict(serializer.validated_data)
        file = given.pop("file")
        serializer.instance = ingest(file, actor=self.request.user.get_username(), **given)

    @extend_schema(responses={(200, "application/octet-stream"): OpenApiTypes.BINARY})
    @action(detail=True)
    def file(self, request: Request, pk: str) -> HttpResponse:
        """The file itself: of a report, a plan, a rank table, launch parameters, a list of shards, a manifest."""
        artifact = self.get_object()
        if not files.can_be_taken(artifact.type, artifact.size):
            raise NotFound(f"{artifact.name} is a {artifact.type}: it goes to machines by jobs.")
        return files.answer(artifact)

    @action(detail=True, methods=["post"])
    def verify(self, request: Request, pk: str) -> Response:
        """Read the blob again and hold it against its SHA-256."""
        verify(self.get_object())
        return Response({"ok": True})
