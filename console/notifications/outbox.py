"""Puts news into the outbox, in the transaction that makes them."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

from django.db import transaction
from django.utils import timezone

from console.notifications.models import EVENTS, Delivery, Destination
from console.notifications.news import describe
from hardware.events import AuditNote, audited

# What happens within so many seconds goes into one mail: forty machines that overheat are one letter, not forty.
MAIL_SECONDS = 15


def listen() -> None:
    audited.connect(_heard, dispatch_uid="console.notifications")


def _heard(sender: Any, note: AuditNote, **_: Any) -> None:
    if note.action not in EVENTS:
        return
    wanted = [one for one in Destination.objects.filter(enabled=True) if note.action in one.events]
    news = describe(note) if wanted else None
    if news is None or news.silenced:
        return
    put(note.action, f"alert:{news.body['alert']['id']}", news.body, [one for one in wanted if news.concerns(one)])


def put(event: str, about: str, body: dict[str, Any], destinations: list[Destination]) -> list[Delivery]:
    """Store one delivery a destination. Call inside the transaction that makes the news."""
    now = timezone.now()
    mail_at = now + timedelta(seconds=MAIL_SECONDS)
    made = Delivery.objects.bulk_create(
        Delivery(
            destination=one,
            event=event,
            about=about,
            body=body,
            next_at=mail_at if one.kind == Destination.Kind.MAIL else now,
        )
        for one in destinations
    )
    if made:
        transaction.on_commit(partial(_wake))
    return made


def _wake() -> None:
    """A worker sends at once; while the broker is away, beat has it sent within seconds."""
    from console.notifications.tasks import deliver

    try:
        deliver.delay()
    except deliver.OperationalError:
        return
