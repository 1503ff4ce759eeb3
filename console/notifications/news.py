"""What is told of an alert, and to whom it matters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone, translation

from console.notifications.models import Destination
from hardware.events import AuditNote
from hardware.telemetry.alerts import wording
from hardware.telemetry.alerts.models import Alert, Rule
from hardware.telemetry.alerts.news import silenced_by

WORDS = {"alert.ended": "ended", "alert.acknowledged": "acknowledged"}


@dataclass(frozen=True)
class News:
    """``body`` is what a webhook gets; ``silenced`` that a person asked not to be told of it."""

    body: dict[str, Any]
    silenced: bool
    critical: bool
    site: str
    labels: frozenset[str]

    def concerns(self, to: Destination) -> bool:
        return (
            (self.critical or not to.critical_only)
            and to.site in ("", self.site)
            and (not to.label or to.label in self.labels)
        )


def in_words(values: dict[str, Any], rising: Sequence[str]) -> dict[str, str]:
    """What was read and what is known of it, in the language that is active."""
    known = [f"{one.what} {one.do}".strip() for one in wording.reasons(values)]
    return {"measured": ", ".join(wording.measured(values, rising)), "known": " ".join(known)}


def describe(note: AuditNote) -> News | None:
    """``None`` when the alert that a note of the trail is about is gone."""
    alert = Alert.objects.select_related("rule", "machine").filter(pk=note.detail.get("alert", 0)).first()
    if alert is None:
        return None
    rule, machine = alert.rule, alert.machine
    word = WORDS.get(note.action, rule.severity)
    where = f"{machine.name} NPU {alert.npu}" if alert.npu else machine.name
    # Who reads it is a program; a mail has these in its reader's language.
    with translation.override("en"):
        words = in_words(alert.values, wording.rising(alert))
    body = {
        "type": note.action,
        "at": timezone.now().isoformat(timespec="seconds"),
        "word": word,
        "title": f"{where}: {rule.title}",
        "console": settings.URL,
        "alert": {
            "id": alert.pk,
            "rule": rule.slug,
            "title": rule.title,
            "severity": rule.severity,
            "state": alert.state,
            "machine": machine.name,
            "site": machine.site,
            "labels": machine.labels,
            "simulated": machine.simulated,
            "npu": alert.npu,
            "since": _iso(alert.since),
            "ended_at": _iso(alert.ended_at),
            "values": alert.values,
            "rising": wording.rising(alert),
            **words,
            "cause": rule.cause,
            "remedy": rule.remedy,
            "acknowledged_by": alert.acknowledged_by,
            "note": alert.note,
            "url": f"{settings.URL}/alerts/{alert.pk}/",
        },
    }
    silenced = silenced_by(alert) is not None
    return News(body, silenced, rule.severity == Rule.Severity.CRITICAL, machine.site, frozenset(machine.labels))


def _iso(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds") if at else None
