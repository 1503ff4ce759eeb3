"""Machines, how to log in to them, and what was read off them.

State of a machine:

=============  ====================================================================================================
``new``        enrolled; its host key was read but nobody has confirmed the fingerprint, so nothing logs in
``ready``      its key is pinned; the last contact, if there was one, worked
``silent``     the last contact failed (unreachable, login refused); jobs may still try
``blocked``    it offered another host key than the pinned one: nothing logs in until a person confirms a key again
``retired``    taken out of use; keeps its history
=============  ====================================================================================================
"""

from __future__ import annotations

from django.core.validators import RegexValidator
from django.db import models

from hardware.inventory.encryption import EncryptedTextField
from hardware.inventory.facts import Facts
from hardware.ssh.endpoint import Endpoint


class Credential(models.Model):
    """How to log in. The secrets are write-only over the API."""

    name = models.CharField(max_length=80, unique=True)
    username = models.CharField(max_length=64, default="root")
    password = EncryptedTextField(blank=True, default="")
    private_key = EncryptedTextField(blank=True, default="")
    passphrase = EncryptedTextField(blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Machine(models.Model):
    """A server reached by SSH."""

    class State(models.TextChoices):
        NEW = "new"
        READY = "ready"
        SILENT = "silent"
        BLOCKED = "blocked"
        RETIRED = "retired"

    name = models.CharField(max_length=63, unique=True, validators=[RegexValidator(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")])
    host = models.CharField(max_length=255)
    port = models.PositiveIntegerField(default=22)
    site = models.CharField(max_length=63, blank=True, default="")
    labels = models.JSONField(default=list, blank=True)
    credential = models.ForeignKey(Credential, on_delete=models.PROTECT, related_name="machines")
    state = models.CharField(max_length=10, choices=State.choices, default=State.NEW, db_index=True)
    trouble = models.JSONField(default=dict, blank=True)
    host_key = models.TextField(blank=True, default="")
    host_key_fingerprint = models.CharField(max_length=80, blank=True, default="")
    offered_key = models.TextField(blank=True, default="")
    offered_fingerprint = models.CharField(max_length=80, blank=True, default="")
    simulated = models.BooleanField(default=False)
    facts = models.JSONField(default=dict, blank=True)
    facts_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["site", "name"]

    def __str__(self) -> str:
        return self.name

    def endpoint(self) -> Endpoint:
        """What the transport needs to log in, secrets included."""
        return Endpoint(
            name=self.name,
            host=self.host,
            port=self.port,
            username=self.credential.username,
            host_key=self.host_key or None,
            password=self.credential.password or None,
            private_key=self.credential.private_key or None,
            passphrase=self.credential.passphrase or None,
        )

    @property
    def read(self) -> Facts | None:
        """The last facts, or ``None`` before the first probe."""
        return Facts.from_json(self.facts) if self.facts else None


class FactSnapshot(models.Model):
    """Facts as they were read at one time; the machine holds a copy of the newest."""

    machine = models.ForeignKey(Machine, on_delete=models.CASCADE, related_name="snapshots")
    taken_at = models.DateTimeField(auto_now_add=True)
    data = models.JSONField()

    class Meta:
        ordering = ["-taken_at"]

    def __str__(self) -> str:
        return f"{self.machine} at {self.taken_at:%F %T}"
