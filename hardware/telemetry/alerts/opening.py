"""Opening and ending alerts, whoever found that it is time."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from hardware.inventory.models import Machine
from hardware.telemetry.alerts import news
from hardware.telemetry.alerts.models import Alert, Rule


def open_alert(
    rule_id: int, machine_id: int, npu: str, since: datetime, at: datetime, values: dict[str, Any]
) -> Alert | None:
    """A new alert; ``None`` when the same is open already, or its rule or machine is gone or no longer asked for."""
    machine = Machine.objects.filter(pk=machine_id).exclude(state=Machine.State.RETIRED).first()
    rule = Rule.objects.filter(pk=rule_id, enabled=True).first()
    if machine is None or rule is None:
        return None
    values = values | news.more_known(rule, machine, npu)
    try:
        with transaction.atomic():
            alert = Alert.objects.create(rule=rule, machine=machine, npu=npu, since=since, opened_at=at, values=values)
            news.tell("opened", alert)
    except IntegrityError:
        return None
    return alert


def end(alerts: Any, why: str, at: datetime) -> int:
    """End those of a query that are open; the number that this call ended."""
    ended = 0
    for alert in alerts.filter(state=Alert.State.OPEN).select_related("rule", "machine"):
        with transaction.atomic():
            mine = Alert.objects.filter(pk=alert.pk, state=Alert.State.OPEN)
            if mine.update(state=Alert.State.ENDED, ended_at=at, why_ended=why):
                alert.state, alert.ended_at, alert.why_ended = Alert.State.ENDED, at, why
                news.tell("ended", alert)
                ended += 1
    return ended
