"""REST: samples of a machine."""

from __future__ import annotations

from typing import Any

import redis
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import APIException
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from hardware.inventory.models import Machine
from hardware.telemetry.samples import KEEP_SECONDS, history, latest


class TelemetryAway(APIException):
    status_code = 503
    default_code = "telemetry-away"
    default_detail = "The samples can't be read now: Redis does not answer. Try again, or look at /readyz."


class Window(serializers.Serializer[Any]):
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


class SampleSerializer(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    chips = ChipSerializer(many=True)


class TelemetrySerializer(serializers.Serializer[Any]):
    """``state`` is that of the newest reading (``ok``, ``no-driver``, ``stuck``, ``error``), or ``none``."""

    machine = serializers.CharField()
    simulated = serializers.BooleanField()
    interval_s = serializers.FloatField(allow_null=True)
    state = serializers.CharField()
    samples = SampleSerializer(many=True)


class MachineTelemetry(APIView):
    """Samples of the last ``minutes`` (1 to 60), newest last."""

    @extend_schema(parameters=[Window], responses=TelemetrySerializer)
    def get(self, request: Request, name: str) -> Response:
        machine = get_object_or_404(Machine, name=name)
        window = Window(data=request.query_params)
        window.is_valid(raise_exception=True)
        try:
            samples = history(name, window.validated_data["minutes"])
        except redis.RedisError as wrong:
            raise TelemetryAway from wrong
        newest = latest([name]).get(name, {})
        return Response(
            {
                "machine": name,
                "simulated": machine.simulated,
                "interval_s": newest.get("interval_s"),
                "state": newest.get("state", "none"),
                "samples": samples,
            }
        )
