"""REST: maintenance windows, concurrency limits, and the job that can't wait."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from hardware.strict import Strict
from jobs.admission import services
from jobs.admission.models import Limit, Window
from jobs.api import JobSerializer
from jobs.models import Job
from jobs.schedules.walltime import ClockTime, Moment, in_zone, unread


class WindowSerializer(Strict, serializers.ModelSerializer[Window]):
    """``open``: ``weekdays`` (0 is Monday), ``begins``, ``ends``, ``zone``; ``freeze``: ``starts_at``, ``stops_at``, in
    ``zone`` where they have no offset.
    """

    name = serializers.CharField(max_length=80)
    begins = ClockTime(required=False, allow_null=True)
    ends = ClockTime(required=False, allow_null=True)
    starts_at = Moment(required=False, allow_null=True)
    stops_at = Moment(required=False, allow_null=True)
    weekdays = serializers.ListField(
        child=serializers.IntegerField(min_value=0, max_value=6), required=False, default=list
    )

    class Meta:
        model = Window
        fields = [
            "id", "kind", "name", "site", "label", "weekdays", "begins", "ends", "zone", "starts_at", "stops_at",
            "must_end_inside", "created_by", "created_at",
        ]  # fmt: skip
        read_only_fields = ["created_by", "created_at"]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        kind, zone = (attrs.get(name, getattr(self.instance, name, "")) for name in ("kind", "zone"))
        others = {"weekdays", "begins", "ends"} if kind == Window.Kind.FREEZE else {"starts_at", "stops_at"}
        if wrong := unread(attrs, others, self.instance):
            raise serializers.ValidationError(wrong)
        in_zone(attrs, ("starts_at", "stops_at"), zone or "UTC")
        return attrs


class LimitSerializer(Strict, serializers.ModelSerializer[Limit]):
    class Meta:
        model = Limit
        fields = ["id", "kind", "site", "jobs", "machines", "created_by", "created_at"]
        read_only_fields = ["created_by", "created_at"]
        # The service says it in one sentence with its mend.
        validators: list[Any] = []


class WindowViewSet(viewsets.ModelViewSet[Window]):
    """When jobs that change machines may begin."""

    queryset = Window.objects.all()
    serializer_class = WindowSerializer
    filterset_fields = ["kind", "site", "label"]
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]

    def perform_create(self, serializer: serializers.BaseSerializer[Window]) -> None:
        made = Window(**serializer.validated_data)
        serializer.instance = services.save_window(made, actor=self.request.user.get_username())

    def perform_update(self, serializer: serializers.BaseSerializer[Window]) -> None:
        assert serializer.instance is not None
        for name, value in serializer.validated_data.items():
            setattr(serializer.instance, name, value)
        services.save_window(serializer.instance, actor=self.request.user.get_username())

    def perform_destroy(self, instance: Window) -> None:
        services.remove_window(instance, actor=self.request.user.get_username())


class LimitViewSet(viewsets.ModelViewSet[Limit]):
    """How many jobs and machines at once."""

    queryset = Limit.objects.all()
    serializer_class = LimitSerializer
    filterset_fields = ["kind", "site"]
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]

    def perform_create(self, serializer: serializers.BaseSerializer[Limit]) -> None:
        made = Limit(**serializer.validated_data)
        serializer.instance = services.save_limit(made, actor=self.request.user.get_username())

    def perform_update(self, serializer: serializers.BaseSerializer[Limit]) -> None:
        assert serializer.instance is not None
        for name, value in serializer.validated_data.items():
            setattr(serializer.instance, name, value)
        services.save_limit(serializer.instance, actor=self.request.user.get_username())

    def perform_destroy(self, instance: Limit) -> None:
        services.remove_limit(instance, actor=self.request.user.get_username())


class UrgentSerializer(Strict):
    reason = serializers.CharField(max_length=500)


class Urgent(APIView):
    """A job that must not wait for a window."""

    @extend_schema(request=UrgentSerializer, responses=JobSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """Let the job begin whatever windows are closed; the reason is in the trail. Again changes the reason."""
        job = get_object_or_404(Job, pk=pk)
        asked = UrgentSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        services.mark_urgent(job, asked.validated_data["reason"], actor=request.user.get_username())
        job.refresh_from_db()
        return Response(JobSerializer(job).data)
