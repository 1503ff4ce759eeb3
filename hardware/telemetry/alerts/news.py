"""Telling of alerts: the trail in the same transaction, pages and listeners after the commit."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from django.db import transaction
from django.utils import timezone

from hardware.events import announce, audit
from hardware.inventory.models import Machine
from hardware.telemetry import alerts
from hardware.telemetry.alerts.models import Alert, Rule, Silence
from hardware.telemetry.samples import latest

log = logging.getLogger(__name__)


def tell(what: alerts.What, alert: Alert, *, actor: str = "console", **more: Any) -> None:
    """Inside the transaction that did it."""
    detail: dict[str, Any] = {"alert": alert.pk, "rule": alert.rule.slug, **more}
    if alert.npu:
        detail["npu"] = alert.npu
    if what == "ended":
        detail["why"] = alert.why_ended
    elif what == "opened":
        detail["values"] = alert.values
        if (silence := silenced_by(alert)) is not None:
            detail["silence"] = silence.pk
    audit(f"alert.{what}", f"machine:{alert.machine.name}", actor=actor, **detail)
    announce("fleet", "alert", alert=alert.pk)
    transaction.on_commit(partial(_listened, what, alert), robust=True)


def _listened(what: alerts.What, alert: Alert) -> None:
    for listener in alerts.listeners:
        try:
            listener(what, alert)
        except Exception:
            log.exception("a listener failed at alert %s (%s)", alert.pk, what)


def silenced_by(alert: Alert) -> Silence | None:
    """The silence that covers it now, if there is one."""
    return next((one for one in silences_now() if one.covers(alert)), None)


def silences_now() -> list[Silence]:
    now = timezone.now()
    return list(Silence.objects.filter(starts_at__lte=now, ends_at__gt=now))


def more_known(rule: Rule, machine: Machine, npu: str) -> dict[str, Any]:
    """What the newest sample says besides numbers: the fault codes of an NPU that is not healthy."""
    if not npu or not any(said.get("metric") == "health" for said in rule.conditions):
        return {}
    sample = latest([machine.name]).get(machine.name, {})
    for chip in sample.get("chips", ()):
        if f"{chip.get('npu_id')}-{chip.get('chip_id')}" == npu:
            return {"health_said": chip.get("health"), "fault_codes": list(chip.get("fault_codes") or [])}
    return {}
