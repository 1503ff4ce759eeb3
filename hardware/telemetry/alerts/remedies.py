"""Which job would mend an alert, with what is known of the alert filled in."""

from __future__ import annotations

from typing import Any

from hardware.telemetry.alerts.models import Alert


def of(alert: Alert) -> dict[str, Any]:
    """``{"kind", "params"}``, or nothing. ``{release}``, ``{driver}`` and ``{firmware}`` are left to who knows
    of releases and packages.
    """
    remedy = alert.rule.remedy
    if not remedy or not remedy.get("kind"):
        return {}
    return {"kind": remedy["kind"], "params": _filled(remedy.get("params", {}), alert)}


def _filled(value: Any, alert: Alert) -> Any:
    if isinstance(value, dict):
        return {name: _filled(one, alert) for name, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, alert) for one in value]
    if isinstance(value, str):
        return value.replace("{machine}", alert.machine.name).replace("{npu}", alert.npu)
    return value
