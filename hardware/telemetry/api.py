"""REST: samples of a machine, and its rollups."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import redis
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema
from rest_framework import serializers
from rest_framework.generics import get_object_or_404
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from hardware.inventory.models import Machine
from hardware.strict import Strict, in_address
from hardware.telemetry.npus import CsvRenderer, TelemetryAway
from hardware.telemetry.rollups.api import (
    COLUMNS,
    PeriodsQuery,
    PeriodsSerializer,
    SpanSerializer,
    periods,
    rows,
    silent_minutes,
)
from hardware.telemetry.samples import KEEP_SECONDS, history, latest


class Window(Strict):
    minutes = serializers.IntegerField(min_value=1, max_value=KEEP_SECONDS // 60, default=60)


class ChipSerializer(serializers.Serializer[Any]):
    npu_id = serializers.IntegerField(allow_null=True)
    chip_id = serializers.IntegerField(allow_null=True)
    aicore_percent = serializers.FloatField(allow_null=True)
    temp_c = serializers.FloatField(allow_null=True)
    power_w = serializers.FloatField(allow_null=True)
    hbm_used_mb = serializers.IntegerField(allow_null=True)
    hbm_total_mb = serializers.IntegerField(allow_null=True)
    health = serializers.CharField(allow_null=True)
    ecc_errors = serializers.IntegerField(allow_null=True, help_text="All counts of the chip together")
    link = serializers.IntegerField(allow_null=True, help_text="1 up, 0 down")
    processes = serializers.IntegerField(allow_null=True)
    fault_codes = serializers.ListField(child=serializers.CharField(), allow_null=True)
    process_list = serializers.ListField(
        child=serializers.ListField(child=serializers.IntegerField(allow_null=True)), allow_null=True,
        help_text="pid and MB of each",
    )  # fmt: skip


class SampleSerializer(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    chips = ChipSerializer(many=True)
    vitals = serializers.DictField(child=serializers.FloatField(), help_text="What was read of the machine itself")


class TelemetrySerializer(serializers.Serializer[Any]):
    """``state`` is that of the newest reading (``ok``, ``no-driver``, ``stuck``, ``error``), or ``none``."""

    machine = serializers.CharField()
    simulated = serializers.BooleanField()
    interval_s = serializers.FloatField(allow_null=True)
    state = serializers.CharField()
    silent = SpanSerializer(many=True, help_text="When the machine was asked and did not answer")
    samples = SampleSerializer(many=True)


class MachineTelemetry(APIView):
    """What a machine and its NPUs read: samples of the last hour, or the figures of periods before that."""

    renderer_classes = [JSONRenderer, CsvRenderer]
    columns = COLUMNS

    @extend_schema(
        parameters=[Window, PeriodsQuery],
        responses={
            (200, "application/json"): PolymorphicProxySerializer(
                component_name="MachineTelemetry",
                serializers=[TelemetrySerializer, PeriodsSerializer],
                resource_type_field_name=None,
            ),
            (200, "text/csv"): OpenApiTypes.STR,
        },
    )
    def get(self, request: Request, name: str) -> Response:
        """With ``since``, ``until``, ``step``, ``metrics`` or ``stats``: minimum, mean, maximum and 95th percentile of
        each period. Else the samples of the last ``minutes`` (1 to 60), newest last. With ``format=csv`` the periods as
        a table, a row a period, NPU and metric.
        """
        machine = get_object_or_404(Machine, name=name)
        asked = in_address(request)
        table = request.accepted_renderer.format == "csv"
        if table or asked.keys() & PeriodsQuery().fields.keys():
            query = PeriodsQuery(data={key: value for key, value in asked.items() if value != ""})
            query.is_valid(raise_exception=True)
            if not table:
                return Response(periods(machine, query.validated_data))
            named = {"Content-Disposition": f'attachment; filename="{name}-telemetry.csv"'}
            return Response(rows(machine, query.validated_data), headers=named)
        return self._samples(machine, asked)

    def _samples(self, machine: Machine, asked: Any) -> Response:
        window = Window(data=asked)
        window.is_valid(raise_exception=True)
        minutes = window.validated_data["minutes"]
        try:
            samples = history(machine.name, minutes)
        except redis.RedisError as wrong:
            raise TelemetryAway from wrong
        newest = latest([machine.name]).get(machine.name, {})
        return Response(
            {
                "machine": machine.name,
                "simulated": machine.simulated,
                "interval_s": newest.get("interval_s"),
                "state": newest.get("state", "none"),
                "silent": silent_minutes(machine, timezone.now() - timedelta(minutes=minutes)),
                "samples": samples,
            }
        )
