"""REST: schedules and what became of their times."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from hardware.strict import PLACE, Strict, asks, takes_no_body
from jobs.options import OptionsSerializer
from jobs.request import TargetsSerializer
from jobs.schedules import services
from jobs.schedules.models import Fire, Schedule
from jobs.schedules.walltime import Moment, in_zone, unread

SHOWN_TIMES = 5
# What each mode goes by.
READ = {"once": {"at"}, "cron": {"cron"}, "every": {"at", "seconds"}}


class FireSerializer(serializers.ModelSerializer[Fire]):
    class Meta:
        model = Fire
        fields = ["id", "due_at", "at", "by", "outcome", "passed_over", "job", "after", "reason"]


class ScheduleSerializer(Strict):
    """``at`` is the time of ``once`` and the beginning of ``every``; ``cron`` is read in ``zone``, and so is an ``at``
    without an offset.
    """

    id = serializers.IntegerField(read_only=True)
    name = serializers.CharField(max_length=80)
    kind = serializers.CharField(source="request.kind")
    params = serializers.DictField(source="request.params", required=False)
    targets = TargetsSerializer(source="request.targets", required=False)
    options = OptionsSerializer(source="request.options", required=False)
    mode = serializers.ChoiceField(Schedule.Mode.choices)
    at = Moment(required=False, allow_null=True)
    cron = serializers.CharField(max_length=120, required=False, allow_blank=True)
    seconds = serializers.IntegerField(min_value=0, required=False)
    zone = serializers.CharField(max_length=64, required=False)
    enabled = serializers.BooleanField(required=False)
    owner = serializers.CharField(max_length=150, required=False)
    overlap = serializers.ChoiceField(Schedule.Overlap.choices, required=False)
    catch_up_s = serializers.IntegerField(min_value=0, max_value=30 * 86400, required=False)
    next_at = serializers.DateTimeField(read_only=True)
    next_times = serializers.SerializerMethodField()
    refused_in_a_row = serializers.IntegerField(read_only=True)
    created_by = serializers.CharField(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)

    def get_next_times(self, schedule: Schedule) -> list[datetime]:
        return next_times(schedule)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        mode, zone = (attrs.get(name, getattr(self.instance, name, "")) for name in ("mode", "zone"))
        if wrong := unread(attrs, {"at", "cron", "seconds"} - READ[mode], self.instance):
            raise serializers.ValidationError(wrong)
        in_zone(attrs, ("at",), zone or "UTC")
        return attrs

    def create(self, validated_data: dict[str, Any]) -> Schedule:
        return services.create(actor=self._actor(), **self._fields(validated_data, {}))

    def update(self, instance: Schedule, validated_data: dict[str, Any]) -> Schedule:
        return services.change(instance, actor=self._actor(), **self._fields(validated_data, instance.request))

    def _actor(self) -> str:
        return str(self.context["request"].user.get_username())

    def _fields(self, given: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
        """The model's fields; of the request what is given takes the place of what was there."""
        fields = dict(given)
        asked = fields.pop("request", None)
        if asked is not None:
            fields["request"] = services.stored({**request, **asked})
        return fields


def next_times(schedule: Schedule) -> list[datetime]:
    """The next times, in UTC; none when it is disabled or over."""
    if schedule.next_at is None:
        return []
    return [schedule.next_at, *islice(schedule.recurrence.after(schedule.next_at), SHOWN_TIMES - 1)]


class ScheduleViewSet(viewsets.ModelViewSet[Schedule]):
    """Requests that are launched by the clock."""

    queryset = Schedule.objects.all()
    serializer_class = ScheduleSerializer
    filterset_fields = ["name", "owner", "enabled", "mode"]
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]

    def once(self, request: Request, make: Any) -> Response:
        """Where a request may be repeated, the class that is served makes its answer only once."""
        answer: Response = make()
        return answer

    def perform_destroy(self, instance: Schedule) -> None:
        services.delete(instance, actor=self.request.user.get_username())

    @extend_schema(request=None, responses={201: FireSerializer})
    @action(detail=True, methods=["post"], url_path="run-now")
    @takes_no_body
    def run_now(self, request: Request, pk: str) -> Response:
        """Launch its job now, whatever the time; refused while its job before has not ended."""
        schedule = self.get_object()

        def make() -> Response:
            fire = services.run_now(schedule, actor=request.user.get_username())
            return Response(FireSerializer(fire).data, status=status.HTTP_201_CREATED)

        return self.once(request, make)

    @extend_schema(responses=FireSerializer(many=True), filters=False)
    @action(detail=True)
    @asks(*PLACE)
    def fires(self, request: Request, pk: str) -> Response:
        """What became of its times, newest first."""
        page: Any = self.paginate_queryset(Fire.objects.filter(schedule=self.get_object()))  # type: ignore[arg-type]
        return self.get_paginated_response(FireSerializer(page or [], many=True).data)
