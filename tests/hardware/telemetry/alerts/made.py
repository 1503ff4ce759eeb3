"""Periods, machines and rules for the tests of alerts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hardware.inventory.models import Credential, Machine
from hardware.telemetry.alerts.models import Rule
from hardware.telemetry.rollups import Period, Stat

START = datetime(2026, 11, 25, 8, 0, tzinfo=UTC)


def stat(value: float | tuple[float, float]) -> Stat:
    """Of one value, or of the lowest and the highest."""
    low, high = value if isinstance(value, tuple) else (value, value)
    return Stat(low, (low + high) / 2, high, high, 12)


def period(
    minute: int, npus: dict[str, dict[str, Any]] | None = None, *, machine: Any = None, state: str = "ok", **vitals: Any
) -> Period:
    """The minute so many after ``START``; NPUs by ``0-0``."""
    return Period(
        machine.name if machine else "n1-01",
        machine.pk if machine else 1,
        START + timedelta(minutes=minute),
        60,
        state,
        {
            tuple(map(int, npu.split("-"))): {name: stat(value) for name, value in metrics.items()}  # type: ignore[misc]
            for npu, metrics in (npus or {}).items()
        },
        {name: stat(value) for name, value in vitals.items()},
    )


def machine(name: str = "n1-01", **fields: Any) -> Machine:
    credential, _ = Credential.objects.get_or_create(name="lab")
    fields = {"state": Machine.State.READY, "host_key": "ssh-ed25519 AAAA", **fields}
    return Machine.objects.create(name=name, host="10.0.0.1", credential=credential, **fields)


def rule(slug: str = "hot", *conditions: dict[str, Any], **fields: Any) -> Rule:
    """By default: an NPU over 80 °C, well again at 70, at once."""
    said = list(conditions) or [{"metric": "temp_c", "stat": "max", "op": ">", "value": 80, "clear": 70}]
    fields = {"title": slug, "scope": "npu", "for_s": 0, "clear_for_s": 0, **fields}
    return Rule(slug=slug, conditions=said, **fields)
