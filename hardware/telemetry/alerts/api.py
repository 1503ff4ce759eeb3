"""REST: alerts and silences."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from hardware.inventory.models import Machine
from hardware.strict import PLACE, Strict, in_address, takes_no_body, unknown
from hardware.telemetry.alerts import remedies, services
from hardware.telemetry.alerts.checking import Refused
from hardware.telemetry.alerts.finding import Wanted, moment, told_of
from hardware.telemetry.alerts.models import Alert, Rule, Silence
from hardware.telemetry.alerts.wording import reasons

MOST_ROWS = 10_000
COLUMNS = (
    "id", "rule", "severity", "machine", "site", "npu", "state", "since", "opened_at", "ended_at", "why_ended",
    "values", "acknowledged_by", "note",
)  # fmt: skip
FILTERS = {
    "state": "open or ended",
    "severity": "info, warning or critical",
    "rule": "the slug of its rule",
    "machine": "the name of its machine",
    "npu": "0-0",
    "site": "of its machine",
    "label": "that its machine has now",
    "acknowledged": "true or false",
    "since": "opened at this time (or on this day) or later",
    "until": "opened before this time, or on this day at the latest",
}
_FILTERS = [OpenApiParameter(name, str, description=words) for name, words in FILTERS.items()]


class KnownSerializer(serializers.Serializer[Any]):
    """What is known of the cause in this case: a fault code, versions. ``source`` says who says what to do."""

    what = serializers.CharField()
    do = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]


class RemedySerializer(serializers.Serializer[Any]):
    kind = serializers.CharField()
    params = serializers.DictField()


class AlertSerializer(serializers.ModelSerializer[Alert]):
    """``since``: when its conditions began to hold; ``opened_at``: when they had held for the rule's duration.

    ``values``: what was read then, by metric. ``remedy``: the kind of job that would mend it, or ``null``.
    ``silence``: the id of the silence that covers it now.
    """

    rule = serializers.SlugRelatedField[Rule](slug_field="slug", read_only=True)
    title = serializers.CharField(source="rule.title", read_only=True)
    severity = serializers.CharField(source="rule.severity", read_only=True)
    machine = serializers.SlugRelatedField[Machine](slug_field="name", read_only=True)
    site = serializers.CharField(source="machine.site", read_only=True)
    cause = serializers.CharField(source="rule.cause", read_only=True)
    known = serializers.SerializerMethodField()
    advice = serializers.CharField(source="rule.advice", read_only=True)
    remedy = serializers.SerializerMethodField()
    silence = serializers.SerializerMethodField()

    class Meta:
        model = Alert
        fields = [
            "id", "rule", "title", "severity", "machine", "site", "npu", "state", "since", "opened_at", "ended_at",
            "why_ended", "values", "cause", "known", "advice", "remedy", "silence", "acknowledged_by",
            "acknowledged_at", "note",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(KnownSerializer(many=True))
    def get_known(self, alert: Alert) -> list[dict[str, str]]:
        return [{"what": one.what, "do": one.do, "source": one.source} for one in reasons(alert.values)]

    @extend_schema_field(RemedySerializer(allow_null=True))
    def get_remedy(self, alert: Alert) -> dict[str, Any] | None:
        return remedies.of(alert) or None

    def get_silence(self, alert: Alert) -> int | None:
        silent: dict[int, Silence] = self.context.get("silent", {})
        return silent[alert.pk].pk if alert.pk in silent else None


class NoteSerializer(Strict):
    note = serializers.CharField(required=False, allow_blank=True, max_length=2000, default="")


@extend_schema_view(list=extend_schema(parameters=_FILTERS))
class AlertViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Alert]):
    """What the rules found, newest first."""

    queryset = Alert.objects.none()
    serializer_class = AlertSerializer
    filter_backends = []

    def get_queryset(self) -> Any:
        if self.action != "list":
            return Alert.objects.select_related("rule", "machine").defer("machine__facts")
        return _asked(in_address(self.request)).alerts()

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        page: list[Alert] = self.paginate_queryset(self.get_queryset()) or []
        return self.get_paginated_response(_shown(page))

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return Response(_shown([self.get_object()])[0])

    @extend_schema(request=NoteSerializer, responses=AlertSerializer)
    @action(detail=True, methods=["post"])
    def acknowledge(self, request: Request, pk: str) -> Response:
        """Say that somebody knows, with a note. Who was first stands; another note takes the place of the first."""
        given = NoteSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        person = request.user.get_username()
        alert = services.acknowledge(self.get_object(), actor=person, note=given.validated_data["note"])
        return Response(_shown([alert])[0])


class AlertExport(APIView):
    """The same as a table, the newest 10,000 at most."""

    @extend_schema(parameters=_FILTERS, responses={(200, "text/csv"): str})
    def get(self, request: Request) -> HttpResponse:
        return table(_asked(in_address(request)))


def _asked(query: Mapping[str, Any]) -> Wanted:
    """Raises ``ValidationError``."""
    wanted = Wanted.of(query)
    errors = {
        name: ["A time in ISO 8601, or a day."]
        for name in ("since", "until")
        if getattr(wanted, name) and moment(getattr(wanted, name)) is None
    }
    errors |= {name: [unknown()] for name in sorted(query.keys() - FILTERS.keys() - PLACE)}
    if wanted.acknowledged not in ("", "true", "false"):
        errors["acknowledged"] = ["Give true or false."]
    if wanted.state and wanted.state not in Alert.State.values:
        errors["state"] = ["The state is open or ended."]
    if wanted.severity and wanted.severity not in Rule.Severity.values:
        errors["severity"] = ["The severity is info, warning or critical."]
    if errors:
        raise ValidationError(errors)
    return wanted


def table(wanted: Wanted) -> HttpResponse:
    """Alerts as a CSV file."""
    answer = HttpResponse(content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = 'attachment; filename="alerts.csv"'
    writer = csv.writer(answer)
    writer.writerow(COLUMNS)
    for alert in wanted.alerts()[:MOST_ROWS]:
        times = [at.isoformat() if at else "" for at in (alert.since, alert.opened_at, alert.ended_at)]
        values = "; ".join(f"{name}={value}" for name, value in alert.values.items())
        writer.writerow(
            [
                alert.pk, alert.rule.slug, alert.rule.severity, alert.machine.name, alert.machine.site, alert.npu,
                alert.state, *times, alert.why_ended, values, alert.acknowledged_by, _cell(alert.note),
            ]
        )  # fmt: skip
    return answer


def _cell(text: str) -> str:
    """A spreadsheet takes what begins with one of these for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _shown(alerts: list[Alert]) -> Any:
    _told, silent = told_of(alerts)
    return AlertSerializer(alerts, many=True, context={"silent": silent}).data


class SilenceSerializer(Strict, serializers.ModelSerializer[Silence]):
    """What is given narrows it: a rule, a machine, a label, a site; at least one is."""

    rule = serializers.SlugRelatedField[Rule](
        slug_field="slug", queryset=Rule.objects.all(), required=False, allow_null=True
    )
    machine = serializers.SlugRelatedField[Machine](
        slug_field="name", queryset=Machine.objects.defer("facts"), required=False, allow_null=True
    )
    reason = serializers.CharField(required=False, allow_blank=True, max_length=2000)
    starts_at = serializers.DateTimeField(required=False)
    ends_at = serializers.DateTimeField(required=False, allow_null=True)

    class Meta:
        model = Silence
        fields = [
            "id", "rule", "machine", "label", "site", "reason", "starts_at", "ends_at", "created_by", "created_at",
            "ended_by",
        ]  # fmt: skip
        read_only_fields = ["created_by", "created_at", "ended_by"]


class SilenceViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.CreateModelMixin, viewsets.GenericViewSet[Silence]
):
    """Alerts that are recorded and not told of, for a while and with a reason."""

    queryset = Silence.objects.select_related("rule", "machine").defer("machine__facts")
    serializer_class = SilenceSerializer
    filterset_fields = {
        "rule__slug": ["exact"], "machine__name": ["exact"], "label": ["exact"], "site": ["exact"],
        "ends_at": ["gte", "lt"],
    }  # fmt: skip

    def perform_create(self, serializer: BaseSerializer[Silence]) -> None:
        given: dict[str, Any] = {"reason": "", "ends_at": None, **serializer.validated_data}
        try:
            serializer.instance = services.silence(actor=self.request.user.get_username(), **given)
        except Refused as refused:
            raise ValidationError(refused.errors) from refused

    @extend_schema(request=None, responses=SilenceSerializer)
    @action(detail=True, methods=["post"])
    @takes_no_body
    def end(self, request: Request, pk: str) -> Response:
        """End it now; one that is over stays as it was."""
        ended = services.end_silence(self.get_object(), actor=request.user.get_username())
        return Response(SilenceSerializer(ended).data, status=status.HTTP_200_OK)
