"""Where news go, and what is on its way there.

A delivery is stored in the transaction that makes the news, so that a crash loses none. It is ``pending`` until the
other side has taken it (``delivered``) or it was tried for the last time (``dead``; a person may send it again). It is
made at least once: who may get it twice tells them apart by ``uid``.
"""

from __future__ import annotations

import base64
import secrets
from uuid import uuid4

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from hardware.inventory.encryption import EncryptedTextField

EVENTS = ("alert.opened", "alert.ended", "alert.acknowledged")
SECRET_PREFIX = "whsec_"


def new_secret() -> str:
    """24 random bytes in the form of the Standard Webhooks specification."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(24)).decode()


def new_uid() -> str:
    return uuid4().hex


def without_token(address: str) -> str:
    """Where an address leads, and not how: a URL may carry a token in its path or query."""
    return "/".join(address.split("/")[:3]).rpartition("@")[2] if "://" in address else address


class Destination(models.Model):
    """``address`` is a URL, or mail addresses with commas between them. Empty filters let everything pass; an empty
    ``language`` (of mails) is the console's.
    """

    class Kind(models.TextChoices):
        WEBHOOK = "webhook", _("Webhook")
        MAIL = "mail", _("E-mail")

    name = models.CharField(max_length=80, unique=True)
    kind = models.CharField(max_length=20, choices=Kind)
    address = models.CharField(max_length=1000)
    # What a webhook is signed with; the one before it signs too, so that the other side can change over at leisure.
    secret = EncryptedTextField(blank=True, default="")
    former_secret = EncryptedTextField(blank=True, default="")
    events = models.JSONField(default=list)
    critical_only = models.BooleanField(default=False)
    site = models.CharField(max_length=63, blank=True, default="")
    label = models.CharField(max_length=63, blank=True, default="")
    language = models.CharField(max_length=10, blank=True, default="")
    enabled = models.BooleanField(default=True)
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def where(self) -> str:
        return without_token(self.address)


class Delivery(models.Model):
    """One piece of news to one destination. ``body`` is what is sent; ``about`` what it is of: ``alert:7``."""

    class State(models.TextChoices):
        PENDING = "pending", _("on its way")
        DELIVERED = "delivered", _("delivered")
        DEAD = "dead", _("not delivered")

    uid = models.CharField(max_length=32, unique=True, default=new_uid)
    destination = models.ForeignKey(Destination, on_delete=models.CASCADE, related_name="deliveries")
    event = models.CharField(max_length=40)
    about = models.CharField(max_length=200)
    body = models.JSONField()
    state = models.CharField(max_length=20, choices=State, default=State.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now)
    error = models.CharField(max_length=500, blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["state", "next_at"], name="delivery_due"),
            models.Index(fields=["destination", "state"], name="delivery_of_destination"),
        ]

    def __str__(self) -> str:
        return f"{self.event} of {self.about} to {self.destination_id}"
