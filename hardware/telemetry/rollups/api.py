"""REST: what a machine and its NPUs did, in periods. Part of ``machines/NAME/telemetry/``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from hardware.inventory.models import Machine
from hardware.strict import Strict
from hardware.telemetry.rollups.models import Minute
from hardware.telemetry.rollups.reading import MINUTE, read
from hardware.telemetry.rollups.records import METRICS, SILENT, VITALS, Period, Stat

STATS = ("min", "mean", "max", "p95")
STEPS = tuple(60 * n for n in (1, 2, 5, 10, 15, 30, 60, 120, 240, 360, 720, 1440))
# Periods an answer: as many as a chart can show, and what a script may ask for.
USUAL, MOST = 400, 3000
COLUMNS = ("at", "machine", "state", "npu_id", "chip_id", "metric", *STATS, "count")
_AGO = re.compile(r"(\d{1,5})(min|h|d)")
_UNITS = {"min": "minutes", "h": "hours", "d": "days"}


@extend_schema_field({"type": "string", "examples": ["2026-11-25T04:00:00Z", "90min", "24h", "30d"]})
class Moment(serializers.DateTimeField):
    """ISO 8601 (in the site's zone where it names none), or how long ago: ``90min``, ``24h``, ``30d``."""

    def to_internal_value(self, value: Any) -> datetime:
        if ago := _AGO.fullmatch(str(value)):
            return timezone.now() - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        made: datetime = super().to_internal_value(value)
        return made


class PeriodsQuery(Strict):
    """``since`` and ``until`` are times (ISO 8601) or how long ago (``90min``, ``24h``, ``30d``). ``step`` in seconds:
    whole minutes that divide an hour, or whole hours; left out, one that gives 400 periods at most. ``metrics`` and
    ``stats`` are names with commas; left out, all.
    """

    since = Moment(required=False)
    until = Moment(required=False)
    step = serializers.ChoiceField(choices=STEPS, required=False)
    metrics = serializers.CharField(required=False)
    stats = serializers.CharField(required=False, default=",".join(STATS))

    def validate_metrics(self, value: str) -> list[str]:
        return _names(value, (*METRICS, *VITALS))

    def validate_stats(self, value: str) -> list[str]:
        return _names(value, STATS)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        until = attrs.setdefault("until", timezone.now())
        since = attrs.setdefault("since", until - timedelta(hours=1))
        length = (until - since).total_seconds()
        if length <= 0:
            raise serializers.ValidationError({"since": "It is not before until."})
        step = attrs.setdefault("step", next((step for step in STEPS if length / step <= USUAL), STEPS[-1]))
        if length / step > MOST:
            fit = next((step for step in STEPS if length / step <= MOST), None)
            mend = f"use {fit} or more" if fit else "ask for a shorter time"
            raise serializers.ValidationError({"step": f"That is more than {MOST} periods; {mend}."})
        # The period in which since lies is whole.
        attrs["since"] = datetime.fromtimestamp(int(since.timestamp()) // step * step, UTC)
        return attrs


def _names(value: str, there_are: Sequence[str]) -> list[str]:
    names = [name.strip() for name in value.split(",") if name.strip()]
    if unknown := [name for name in names if name not in there_are]:
        raise serializers.ValidationError(f"There is no {unknown[0]}; use {', '.join(there_are)}.")
    return names


class SpanSerializer(serializers.Serializer[Any]):
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()


class SeriesSerializer(serializers.Serializer[Any]):
    """Lists as long as ``at``; ``null`` where nothing was read. Which there are is up to ``stats``."""

    min = serializers.ListField(child=serializers.FloatField(allow_null=True), required=False)
    mean = serializers.ListField(child=serializers.FloatField(allow_null=True), required=False)
    max = serializers.ListField(child=serializers.FloatField(allow_null=True), required=False)
    p95 = serializers.ListField(child=serializers.FloatField(allow_null=True), required=False)


class NpuSeriesSerializer(serializers.Serializer[Any]):
    """``metrics`` by name: aicore_percent, temp_c, power_w, hbm_used_percent, health (0 OK to 3 Critical), ecc_errors,
    link (1 up), processes.
    """

    npu_id = serializers.IntegerField()
    chip_id = serializers.IntegerField()
    metrics = serializers.DictField(child=SeriesSerializer())


class PeriodsSerializer(serializers.Serializer[Any]):
    """Periods of ``step_s`` seconds that begin at ``at``; one that nobody sampled is not there. ``states`` are those of
    their last samples, or ``silent``; ``silent`` is the same as spans of time.
    """

    machine = serializers.CharField()
    simulated = serializers.BooleanField()
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    step_s = serializers.IntegerField()
    at = serializers.ListField(child=serializers.DateTimeField())
    states = serializers.ListField(child=serializers.CharField())
    silent = SpanSerializer(many=True)
    npus = NpuSeriesSerializer(many=True)
    vitals = serializers.DictField(child=SeriesSerializer())


def periods(machine: Machine, query: dict[str, Any]) -> dict[str, Any]:
    """The answer for a query that ``PeriodsQuery`` has found right."""
    found = read([machine], query["since"], query["until"], query["step"])
    names, stats = query.get("metrics"), query["stats"]
    npus = sorted({npu for period in found for npu in period.npus})
    vitals = sorted({name for period in found for name in period.vitals if names is None or name in names})
    chips = []
    for npu in npus:
        rows = [period.npus.get(npu, {}) for period in found]
        told = [name for name in METRICS if (names is None or name in names) and any(name in row for row in rows)]
        metrics = {name: _series([row.get(name) for row in rows], stats) for name in told}
        chips.append({"npu_id": npu[0], "chip_id": npu[1], "metrics": metrics})
    return {
        "machine": machine.name,
        "simulated": machine.simulated,
        "since": query["since"],
        "until": query["until"],
        "step_s": query["step"],
        "at": [period.at for period in found],
        "states": [period.state for period in found],
        "silent": _spans([(int(p.at.timestamp()), p.seconds) for p in found if p.state == SILENT]),
        "npus": chips,
        "vitals": {name: _series([period.vitals.get(name) for period in found], stats) for name in vitals},
    }


def _series(stats: list[Stat | None], wanted: list[str]) -> dict[str, list[float | None]]:
    return {
        name: [None if stat is None else round(getattr(stat, name), 3) for stat in stats]
        for name in STATS
        if name in wanted
    }


def rows(machine: Machine, query: dict[str, Any]) -> list[dict[str, Any]]:
    """The same as flat rows for a table, by ``COLUMNS``."""
    names = query.get("metrics")
    found = read([machine], query["since"], query["until"], query["step"])
    return [row for period in found for row in _rows(period, names)]


def _rows(period: Period, names: list[str] | None) -> Iterator[dict[str, Any]]:
    common = {"at": period.at.isoformat(), "machine": period.machine, "state": period.state}
    if period.state == SILENT:
        yield common
    places: list[tuple[Any, Any, dict[str, Stat]]] = [(*npu, stats) for npu, stats in period.npus.items()]
    for npu_id, chip_id, stats in [*places, ("", "", period.vitals)]:
        for name, stat in stats.items():
            if names is None or name in names:
                figures = {key: round(getattr(stat, key), 3) for key in STATS}
                yield {**common, "npu_id": npu_id, "chip_id": chip_id, "metric": name, **figures, "count": stat.count}


def silent_minutes(machine: Machine, since: datetime) -> list[dict[str, datetime]]:
    """The spans since then in which a machine was asked and gave no sample."""
    found = Minute.objects.filter(machine=machine, at__gte=int(since.timestamp()), state=SILENT).order_by("at")
    return _spans([(at, MINUTE) for at in found.values_list("at", flat=True)])


def _spans(silent: list[tuple[int, int]]) -> list[dict[str, datetime]]:
    spans: list[list[int]] = []
    for at, seconds in silent:
        if spans and spans[-1][1] == at:
            spans[-1][1] = at + seconds
        else:
            spans.append([at, at + seconds])
    return [{"since": datetime.fromtimestamp(a, UTC), "until": datetime.fromtimestamp(b, UTC)} for a, b in spans]
