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

from collections.abc import Callable
from functools import partial

import asyncssh
from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone

from hardware.database import on_db
from hardware.inventory.encryption import EncryptedTextField
from hardware.inventory.facts import Facts
from hardware.ssh.endpoint import Endpoint
from hardware.ssh.loginkeys import fingerprint, public_line

# Machines between the console and the last one.
MOST_JUMPS = 3


class Credential(models.Model):
    """How to log in, and how a login user other than root becomes root. The secrets are write-only over the API."""

    class Sudo(models.TextChoices):
        """``login``: sudo takes the password of the login; ``own``: it takes ``sudo_password``."""

        NONE = "none"
        NOPASSWD = "nopasswd"
        LOGIN = "login"
        OWN = "own"

    name = models.CharField(max_length=80, unique=True)
    username = models.CharField(max_length=64, default="root")
    password = EncryptedTextField(blank=True, default="")
    private_key = EncryptedTextField(blank=True, default="")
    passphrase = EncryptedTextField(blank=True, default="")
    sudo = models.CharField(max_length=8, choices=Sudo.choices, default=Sudo.NONE)
    sudo_password = EncryptedTextField(blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def public_key(self) -> str:
        """The line of its key for ``authorized_keys``; empty for a credential without a key that can be read."""
        return self._of_key(public_line)

    @property
    def fingerprint(self) -> str:
        return self._of_key(fingerprint)

    def _of_key(self, what: Callable[[str, str | None], str]) -> str:
        try:
            return what(self.private_key, self.passphrase or None) if self.private_key else ""
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError):
            return ""


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
    # The machine that the link goes through; ``hardware.inventory.jumps`` keeps chains short and without loops.
    jump = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="behind")
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
        """What the transport needs to log in, secrets and the way there included."""
        return self._endpoint(MOST_JUMPS)

    def _endpoint(self, jumps: int) -> Endpoint:
        login = self.credential
        sudo = {Credential.Sudo.LOGIN: login.password, Credential.Sudo.OWN: login.sudo_password}
        return Endpoint(
            name=self.name,
            host=self.host,
            port=self.port,
            username=login.username,
            host_key=self.host_key or None,
            password=login.password or None,
            private_key=login.private_key or None,
            passphrase=login.passphrase or None,
            via=self.jump._endpoint(jumps - 1) if self.jump is not None and jumps else None,
            sudo=login.sudo != Credential.Sudo.NONE,
            sudo_password=sudo.get(Credential.Sudo(login.sudo)) or None,
            renew=partial(on_db, _read_anew, self.pk),
        )

    @property
    def address_settled(self) -> bool:
        """Whether its address stays: a host key was confirmed for it, or facts were read there."""
        return bool(self.host_key or self.facts_at)

    @property
    def read(self) -> Facts | None:
        """The last facts, or ``None`` before the first probe."""
        return Facts.from_json(self.facts) if self.facts else None


def _read_anew(machine_id: int) -> Endpoint | None:
    found = Machine.objects.select_related("credential", "jump__credential").filter(pk=machine_id).first()
    return found.endpoint() if found else None


class FactSnapshot(models.Model):
    """Facts as they were read; the machine holds a copy of the newest.

    ``seen_at`` is when they were read last with nothing different (``hardware.inventory.changes``).
    """

    machine = models.ForeignKey(Machine, on_delete=models.CASCADE, related_name="snapshots")
    taken_at = models.DateTimeField(auto_now_add=True)
    seen_at = models.DateTimeField(default=timezone.now)
    data = models.JSONField()

    class Meta:
        ordering = ["-taken_at"]
        indexes = [models.Index(fields=["machine", "-taken_at"], name="snapshots_of_machine")]

    def __str__(self) -> str:
        return f"{self.machine} at {self.taken_at:%F %T}"
