"""REST: what every NPU reads now, as a table. npu-smi itself has no query that gives one."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

import redis
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import APIException
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from hardware.inventory.models import Machine
from hardware.strict import Strict, in_address
from hardware.telemetry.samples import fresh, newest, taken_at

# field -> the sample's own name, or None for what is known of the machine. Units: percent, MB, degrees Celsius, watts.
FIELDS: dict[str, str | None] = {
    "machine": None,
    "npu_id": "npu_id",
    "chip_id": "chip_id",
    "health": "health",
    "utilization": "aicore_percent",
    "memory_used": "hbm_used_mb",
    "memory_total": "hbm_total_mb",
    "temperature": "temp_c",
    "power": "power_w",
    "at": None,
    "age_s": None,
    "stale": None,
    "simulated": None,
}
USUAL = ("machine", "npu_id", "chip_id", "health", "utilization", "memory_used", "memory_total", "temperature", "power")


class TelemetryAway(APIException):
    status_code = 503
    default_code = "telemetry-away"
    default_detail = "The samples can't be read now: Redis does not answer. Try again, or look at /readyz."


class CsvRenderer(BaseRenderer):
    """A list of flat objects, the columns in the order of ``fields``; an empty cell where nothing was read."""

    media_type = "text/csv"
    format = "csv"
    charset = "utf-8"

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> str:
        if not isinstance(data, list):
            # A problem, and its content type says so: no table.
            return str(JSONRenderer().render(data), "utf-8")
        view = (renderer_context or {}).get("view")
        names = getattr(view, "columns", USUAL)
        out = io.StringIO()
        rows = csv.DictWriter(out, names)
        rows.writeheader()
        rows.writerows(data)
        return out.getvalue()


class QuerySerializer(Strict):
    """``fields`` are names with commas; ``machine``, ``site`` and ``label`` choose whose NPUs."""

    fields = serializers.CharField(required=False, default=",".join(USUAL))  # type: ignore[assignment]
    machine = serializers.CharField(required=False)
    site = serializers.CharField(required=False)
    label = serializers.CharField(required=False)  # type: ignore[assignment]

    def validate_fields(self, value: str) -> list[str]:
        names = [name.strip() for name in value.split(",") if name.strip()]
        unknown = [name for name in names if name not in FIELDS]
        if unknown:
            raise serializers.ValidationError(f"There is no field {unknown[0]}; fields are {', '.join(FIELDS)}.")
        return names or list(USUAL)


class NpuSerializer(serializers.Serializer[Any]):
    """``null`` is what the tool did not give. ``stale``: older than three intervals."""

    machine = serializers.CharField(required=False)
    npu_id = serializers.IntegerField(required=False, allow_null=True)
    chip_id = serializers.IntegerField(required=False, allow_null=True)
    health = serializers.CharField(required=False, allow_null=True)
    utilization = serializers.FloatField(required=False, allow_null=True, help_text="AI Core, percent")
    memory_used = serializers.IntegerField(required=False, allow_null=True, help_text="MB")
    memory_total = serializers.IntegerField(required=False, allow_null=True, help_text="MB")
    temperature = serializers.FloatField(required=False, allow_null=True, help_text="degrees Celsius")
    power = serializers.FloatField(required=False, allow_null=True, help_text="watts")
    at = serializers.DateTimeField(required=False)
    age_s = serializers.FloatField(required=False)
    stale = serializers.BooleanField(required=False)
    simulated = serializers.BooleanField(required=False)


class NpuTable(APIView):
    renderer_classes = [JSONRenderer, CsvRenderer]
    columns: list[str] = list(USUAL)

    @extend_schema(parameters=[QuerySerializer], responses=NpuSerializer(many=True))
    def get(self, request: Request) -> Response:
        """The newest reading of every NPU, one row each; with ``?format=csv`` as CSV."""
        asked = QuerySerializer(data=in_address(request))
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        self.columns = given["fields"]
        machines = Machine.objects.exclude(state=Machine.State.RETIRED).order_by("name")
        if "machine" in given:
            machines = machines.filter(name__in=given["machine"].split(","))
        if "site" in given:
            machines = machines.filter(site=given["site"])
        chosen = {
            name: simulated
            for name, simulated, labels in machines.values_list("name", "simulated", "labels")
            if "label" not in given or given["label"] in labels
        }
        try:
            samples = newest(chosen)
        except redis.RedisError as wrong:
            raise TelemetryAway from wrong
        rows = [row for name in chosen if name in samples for row in _rows(name, samples[name], chosen[name])]
        return Response([{name: row[name] for name in self.columns} for row in rows])


def _rows(machine: str, sample: Mapping[str, Any], simulated: bool) -> list[dict[str, Any]]:
    common = {
        "machine": machine,
        "at": sample["at"],
        "age_s": round((timezone.now() - taken_at(sample)).total_seconds(), 1),
        "stale": not fresh(sample),
        "simulated": simulated,
    }
    return [{**common, **{name: chip.get(key) for name, key in FIELDS.items() if key}} for chip in sample["chips"]]
