"""Alerts on other pages."""

from __future__ import annotations

from typing import Any

from django import template

from hardware.inventory.models import Machine
from hardware.telemetry.alerts import wording
from hardware.telemetry.alerts.finding import told_of
from hardware.telemetry.alerts.models import Alert

register = template.Library()


@register.inclusion_tag("alerts/ofmachine.html")
def alerts_of(machine: Machine) -> dict[str, Any]:
    """What is open on a machine, the gravest first."""
    order = {"critical": 0, "warning": 1}
    found = Alert.objects.filter(machine=machine, state=Alert.State.OPEN).select_related("rule", "machine")
    rows = sorted(found, key=lambda alert: order.get(alert.rule.severity, 2))
    _told, silent = told_of(rows)
    return {
        "machine": machine,
        "alerts": [
            {
                "alert": alert,
                "title": wording.said(alert.rule.title),
                "chip": wording.chip_state(alert.rule),
                "values": ", ".join(wording.values(alert)),
                "silent": alert.pk in silent,
            }
            for alert in rows
        ],
    }
