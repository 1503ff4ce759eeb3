"""Sends what is due. Many processes may do so at once: each takes a delivery by a conditional update.

A destination that does not answer costs one attempt a round, however much waits for it, and holds up no other.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256

from django.conf import settings
from django.db.models import F
from django.utils import timezone, translation

from console.notifications import mail, webhook
from console.notifications.failures import NotDelivered
from console.notifications.models import Delivery, Destination
from hardware.events import announce, audit

log = logging.getLogger(__name__)

# Seconds until the next attempt after each that failed; about seventeen hours in all, so that a night's outage of the
# other side loses nothing.
PAUSES = (5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800)
# Who took a delivery and died gives it back after so long.
HELD_SECONDS = 120
ROUND = 200
# Of one webhook: so many that each may take its time before somebody else would send the last of them again.
WEBHOOKS_IN_ROUND = 10
SENDERS = 8


@dataclass
class _Parcel:
    """What waits for one destination, and how the sending of it went: the first ``sent`` of them are through."""

    destination: Destination
    deliveries: list[Delivery]
    sent: int = 0
    error: str = ""
    tried: set[int] = field(default_factory=set)

    @property
    def uid(self) -> str:
        """Of all together: with one more among them it is other news."""
        return sha256(" ".join(one.uid for one in self.deliveries).encode()).hexdigest()[:32]


def deliver_due() -> int:
    """Send until nothing is due; returns how many were delivered."""
    delivered = 0
    while parcels := _take():
        with ThreadPoolExecutor(min(SENDERS, len(parcels)), thread_name_prefix="notify") as senders:
            list(senders.map(_send, parcels))
        for parcel in parcels:
            _store(parcel)
            delivered += parcel.sent
    return delivered


def _take() -> list[_Parcel]:
    now = timezone.now()
    due = Delivery.objects.filter(state=Delivery.State.PENDING, next_at__lte=now, destination__enabled=True)
    parcels: dict[int, _Parcel] = {}
    waiting: dict[int, list[Delivery]] = defaultdict(list)
    for one in due.select_related("destination").order_by("id")[:ROUND]:
        to = one.destination
        if to.kind == Destination.Kind.WEBHOOK and len(waiting[to.pk]) >= WEBHOOKS_IN_ROUND:
            continue
        # Only if nobody was faster.
        mine = Delivery.objects.filter(pk=one.pk, state=Delivery.State.PENDING, next_at=one.next_at)
        if mine.update(next_at=now + timedelta(seconds=HELD_SECONDS)):
            waiting[to.pk].append(one)
            parcels[to.pk] = _Parcel(to, waiting[to.pk])
    return list(parcels.values())


def _send(parcel: _Parcel) -> None:
    """In a thread of its own; touches no database."""
    to = parcel.destination
    try:
        if to.kind == Destination.Kind.MAIL:
            parcel.tried = {one.pk for one in parcel.deliveries}
            # Nobody's browser is here to say another.
            with translation.override(to.language or settings.LANGUAGE_CODE):
                mail.send(to.address, parcel.uid, [one.body for one in parcel.deliveries])
            parcel.sent = len(parcel.deliveries)
            return
        for one in parcel.deliveries:
            parcel.tried.add(one.pk)
            webhook.send(to.address, (to.secret, to.former_secret), one.uid, {**one.body, "id": one.uid})
            parcel.sent += 1
    except NotDelivered as wrong:
        parcel.error = str(wrong)[:500]
    except Exception:
        log.exception("%s: a notification could not be sent", to.name)
        parcel.error = "The console itself is at fault; look at its log."


def _store(parcel: _Parcel) -> None:
    now = timezone.now()
    through, rest = parcel.deliveries[: parcel.sent], parcel.deliveries[parcel.sent :]
    Delivery.objects.filter(pk__in=[one.pk for one in through]).update(
        state=Delivery.State.DELIVERED, attempts=F("attempts") + 1, ended_at=now, error=""
    )
    for one in rest:
        tried = one.pk in parcel.tried
        attempts = one.attempts + tried
        found = Delivery.objects.filter(pk=one.pk)
        if attempts > len(PAUSES):
            found.update(state=Delivery.State.DEAD, attempts=attempts, error=parcel.error, ended_at=now)
            audit(
                "notification.dead", one.about, destination=parcel.destination.name, attempts=attempts,
                error=parcel.error,
            )  # fmt: skip
            announce("fleet", "notification", state="dead", destination=parcel.destination.name)
            continue
        # The others wait as long as the one that failed: the next attempt tells for all of them.
        pause = PAUSES[max(0, attempts - 1)]
        found.update(attempts=attempts, error=parcel.error, next_at=now + timedelta(seconds=pause))


def forget_old() -> int:
    """Remove what was delivered long ago; what is dead stays until a person has decided. Returns how many."""
    before = timezone.now() - timedelta(days=settings.NOTIFICATION_DAYS)
    return Delivery.objects.filter(state=Delivery.State.DELIVERED, ended_at__lt=before).delete()[0]
