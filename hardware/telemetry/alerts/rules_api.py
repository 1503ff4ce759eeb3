"""REST: rules, and what one would have found."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from hardware.strict import Strict, takes_no_body
from hardware.telemetry.alerts import services, tryout
from hardware.telemetry.alerts.checking import Refused
from hardware.telemetry.alerts.metrics import METRICS, OPS, STATS
from hardware.telemetry.alerts.models import Rule


class RuleStays(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "rule-stays"


class ConditionSerializer(Strict):
    """``rises`` is for counters: by ``value`` or more since the period before. ``clear`` is where it is well again."""

    metric = serializers.ChoiceField([(name, name) for name in METRICS])
    stat = serializers.ChoiceField([(name, name) for name in STATS], default="mean")
    op = serializers.ChoiceField([(name, name) for name in OPS])
    value = serializers.FloatField()
    clear = serializers.FloatField(required=False, allow_null=True)


@extend_schema_field(ConditionSerializer(many=True))
class Conditions(serializers.JSONField):
    """As they are stored; ``checking`` says of each what is wrong with it."""


class RuleSerializer(Strict, serializers.ModelSerializer[Rule]):
    """All ``conditions`` must hold for ``for_s`` seconds; the alert ends when one of them is clear for ``clear_for_s``.

    ``scope`` ``npu``: on one NPU, together with what its machine reads. ``remedy``: {"kind", "params"} of the job that
    mends it; params may hold {machine}, {npu} and {release}.
    """

    slug = serializers.SlugField(max_length=60, required=False)
    conditions = Conditions()
    for_s = serializers.IntegerField(required=False, default=0)
    clear_for_s = serializers.IntegerField(required=False, default=0)
    remedy = serializers.JSONField(required=False)

    class Meta:
        model = Rule
        fields = [
            "slug", "title", "severity", "scope", "conditions", "for_s", "clear_for_s", "enabled", "cause", "advice",
            "remedy", "builtin", "edited", "version", "created_by", "updated_by", "updated_at",
        ]  # fmt: skip
        read_only_fields = ["builtin", "edited", "version", "created_by", "updated_by", "updated_at"]

    def validate_slug(self, value: str) -> str:
        if self.instance is not None and value != self.instance.slug:
            raise serializers.ValidationError("Alerts know the rule by its slug. Make another rule instead.")
        return value.lower()

    def create(self, validated_data: dict[str, Any]) -> Rule:
        return services.make_rule(actor=self.context["request"].user.get_username(), **validated_data)

    def update(self, instance: Rule, validated_data: dict[str, Any]) -> Rule:
        return services.change_rule(instance, actor=self.context["request"].user.get_username(), **validated_data)


class TryOutSerializer(RuleSerializer):
    """A rule, stored or not, and over how many of the last hours to try it."""

    title = serializers.CharField(max_length=120, required=False, default="try-out")
    hours = serializers.IntegerField(
        min_value=1, max_value=tryout.LONGEST_HOURS, default=tryout.LONGEST_HOURS, write_only=True
    )

    class Meta(RuleSerializer.Meta):
        fields = ["hours", *RuleSerializer.Meta.fields]


class FiredSerializer(serializers.Serializer[Any]):
    machine = serializers.CharField()
    alerts = serializers.IntegerField()


class WouldHaveFoundSerializer(serializers.Serializer[Any]):
    """``total`` alerts in that time, ``now`` of them open at its end; ``machines`` had rollups to judge."""

    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    machines = serializers.IntegerField()
    periods = serializers.IntegerField()
    total = serializers.IntegerField()
    now = serializers.IntegerField()
    fired = FiredSerializer(many=True)


class MetricSerializer(serializers.Serializer[Any]):
    """``of``: npu, machine, or facts. ``counter``: it can be held against ``rises``."""

    name = serializers.CharField()
    title = serializers.CharField()
    of = serializers.CharField()
    unit = serializers.CharField()
    low = serializers.FloatField()
    high = serializers.FloatField()
    counter = serializers.BooleanField()


class RuleViewSet(viewsets.ModelViewSet[Rule]):
    """What is watched for: built-in rules, which can be changed and reset, and people's own."""

    queryset = Rule.objects.all()
    serializer_class = RuleSerializer
    lookup_field = "slug"
    lookup_value_regex = r"[a-z0-9][a-z0-9-]*"
    filterset_fields = ["enabled", "builtin", "severity", "scope"]
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]

    def perform_create(self, serializer: BaseSerializer[Rule]) -> None:
        try:
            serializer.save()
        except Refused as refused:
            raise ValidationError(refused.errors) from refused

    def perform_update(self, serializer: BaseSerializer[Rule]) -> None:
        self.perform_create(serializer)

    def perform_destroy(self, instance: Rule) -> None:
        try:
            services.delete_rule(instance, actor=self.request.user.get_username())
        except Refused as refused:
            raise RuleStays(refused.errors["slug"][0]) from refused

    @extend_schema(request=None, responses=RuleSerializer)
    @action(detail=True, methods=["post"])
    @takes_no_body
    def reset(self, request: Request, slug: str) -> Response:
        """A built-in rule as this console has it."""
        try:
            rule = services.reset_rule(self.get_object(), actor=request.user.get_username())
        except Refused as refused:
            raise RuleStays(refused.errors["slug"][0]) from refused
        return Response(RuleSerializer(rule).data)

    @extend_schema(request=TryOutSerializer, responses=WouldHaveFoundSerializer)
    @action(detail=False, methods=["post"], url_path="try-out")
    def try_out(self, request: Request) -> Response:
        """How often a rule would have fired in the last hours, and on which machines. Nothing is stored."""
        given = TryOutSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        fields = dict(given.validated_data)
        hours = fields.pop("hours")
        try:
            found = tryout.try_out(Rule(**fields), hours)
        except Refused as refused:
            raise ValidationError(refused.errors) from refused
        return Response(
            {
                "since": found.since,
                "until": found.until,
                "machines": found.machines,
                "periods": found.periods,
                "total": found.total,
                "now": found.now,
                "fired": [{"machine": name, "alerts": count} for name, count in found.fired],
            }
        )

    @extend_schema(responses=MetricSerializer(many=True))
    @action(detail=False, pagination_class=None, filter_backends=[])
    def metrics(self, request: Request) -> Response:
        """What a condition may rest on, with units and limits."""
        return Response(MetricSerializer(METRICS.values(), many=True).data)
