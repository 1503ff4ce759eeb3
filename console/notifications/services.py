"""What can be decided about notifications; each decision is in the trail."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from console.notifications.models import Delivery, Destination, new_secret, without_token
from console.notifications.outbox import put
from hardware.events import audit


def create(*, actor: str, **fields: Any) -> Destination:
    """A webhook gets a secret, which is told once."""
    with transaction.atomic():
        secret = new_secret() if fields["kind"] == Destination.Kind.WEBHOOK else ""
        made = Destination.objects.create(created_by=actor, secret=secret, **fields)
        audit("destination.create", f"destination:{made.name}", actor=actor, **_said(fields))
    return made


def change(destination: Destination, *, actor: str, **fields: Any) -> Destination:
    with transaction.atomic():
        for name, value in fields.items():
            setattr(destination, name, value)
        destination.save()
        audit("destination.update", f"destination:{destination.name}", actor=actor, **_said(fields))
    return destination


def remove(destination: Destination, *, actor: str) -> None:
    """What is still on its way there goes with it."""
    with transaction.atomic():
        waiting = destination.deliveries.exclude(state=Delivery.State.DELIVERED).count()
        audit("destination.delete", f"destination:{destination.name}", actor=actor, not_delivered=waiting)
        destination.delete()


def rotate(destination: Destination, *, actor: str) -> str:
    """A new secret; the one before it goes on signing beside it until the next rotation."""
    with transaction.atomic():
        destination.former_secret, destination.secret = destination.secret, new_secret()
        destination.save(update_fields=["secret", "former_secret"])
        audit("destination.rotate", f"destination:{destination.name}", actor=actor)
    return destination.secret


def try_out(destination: Destination, *, actor: str) -> Delivery:
    """Send a piece of news that says that it is a test."""
    body = {
        "type": "test",
        "word": "test",
        "at": timezone.now().isoformat(timespec="seconds"),
        "title": f"A test, sent by {actor}",
        "by": actor,
        "console": settings.URL,
    }
    with transaction.atomic():
        audit("destination.test", f"destination:{destination.name}", actor=actor)
        return put("test", f"destination:{destination.name}", body, [destination])[0]


def send_again(delivery: Delivery, *, actor: str) -> bool:
    """Give a dead delivery all its attempts once more; ``False`` when it is not dead any more."""
    with transaction.atomic():
        found = Delivery.objects.filter(pk=delivery.pk, state=Delivery.State.DEAD)
        if not found.update(state=Delivery.State.PENDING, attempts=0, next_at=timezone.now(), ended_at=None):
            return False
        audit("notification.again", delivery.about, actor=actor, destination=delivery.destination.name)
    return True


def drop(delivery: Delivery, *, actor: str) -> bool:
    """Remove a dead delivery for good; ``False`` when it is not dead any more."""
    with transaction.atomic():
        if not Delivery.objects.filter(pk=delivery.pk, state=Delivery.State.DEAD).delete()[0]:
            return False
        audit("notification.drop", delivery.about, actor=actor, destination=delivery.destination.name)
    return True


def _said(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: without_token(value) if name == "address" else value for name, value in fields.items()}
