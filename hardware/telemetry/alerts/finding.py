"""Alerts by what a page or a client asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from hardware.inventory.models import Machine
from hardware.telemetry.alerts.models import Alert, Silence
from hardware.telemetry.alerts.news import silences_now


@dataclass(frozen=True)
class Wanted:
    """Filters; an empty one lets every alert through. ``since`` and ``until`` are of when it was opened."""

    state: str = ""
    severity: str = ""
    rule: str = ""
    machine: str = ""
    npu: str = ""
    site: str = ""
    label: str = ""
    acknowledged: str = ""
    since: str = ""
    until: str = ""

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Wanted:
        return cls(**{field.name: str(data.get(field.name, "")).strip()[:120] for field in fields(cls)})

    def to_query(self) -> dict[str, str]:
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name))}

    def alerts(self) -> QuerySet[Alert]:
        """Newest first. What can't be read as a time is no filter."""
        found = Alert.objects.select_related("rule", "machine").defer("machine__facts")
        for lookup, value in (
            ("state", self.state), ("rule__severity", self.severity), ("rule__slug", self.rule),
            ("machine__name", self.machine), ("npu", self.npu), ("machine__site", self.site),
        ):  # fmt: skip
            if value:
                found = found.filter(**{lookup: value})
        if self.label:
            found = found.filter(machine__in=labelled(self.label))
        if self.acknowledged:
            found = found.filter(acknowledged_at__isnull=self.acknowledged not in ("true", "yes", "1"))
        if (since := moment(self.since)) is not None:
            found = found.filter(opened_at__gte=since)
        if (until := moment(self.until, end=True)) is not None:
            found = found.filter(opened_at__lt=until)
        return found


def labelled(label: str) -> list[int]:
    """Machines with this label. Databases search lists in JSON in ways of their own; a fleet's labels are few."""
    return [pk for pk, labels in Machine.objects.values_list("pk", "labels") if label in labels]


def moment(text: str, *, end: bool = False) -> datetime | None:
    """A time, or the first moment of a day; with ``end`` that of the day after."""
    try:
        day = parse_date(text) if len(text) == len("2026-11-25") else None
        at = parse_datetime(text)
    except ValueError:
        return None
    if day is None:
        return at if at is None or at.tzinfo else timezone.make_aware(at)
    first = timezone.make_aware(datetime(day.year, day.month, day.day))
    return first + timedelta(days=1) if end else first


def open_now() -> list[Alert]:
    """All that are open, the gravest first."""
    grave = {"critical": 0, "warning": 1, "info": 2}
    found = Alert.objects.filter(state=Alert.State.OPEN).select_related("rule", "machine").defer("machine__facts")
    return sorted(found, key=lambda alert: (grave.get(alert.rule.severity, 3), alert.rule.slug, alert.machine.name))


def told_of(alerts: list[Alert]) -> tuple[list[Alert], dict[int, Silence]]:
    """Those that no silence covers, and of the others which silence does."""
    silences = silences_now()
    silent = {alert.pk: one for alert in alerts for one in silences if one.covers(alert)} if silences else {}
    return [alert for alert in alerts if alert.pk not in silent], silent


def waiting() -> int:
    """How many open alerts wait for somebody: neither silenced nor acknowledged."""
    if not silences_now():
        return Alert.objects.filter(state=Alert.State.OPEN, acknowledged_at=None).count()
    told, _silent = told_of(open_now())
    return sum(1 for alert in told if alert.acknowledged_at is None)
