from __future__ import annotations

from django.db import models

from hardware.bmc.redfish import Access
from hardware.inventory.models import Credential, Machine


class Bmc(models.Model):
    """A machine's management board, and how to log in to it.

    ``fingerprint`` is the certificate's that a person has confirmed; nothing is sent before. ``seen`` is what the board
    said of itself when it was read last: ``path`` of its thermal resource, ``maker`` under whose name its fields stand,
    ``model``, ``firmware``, ``mode``, ``level``, ``least``, ``most`` (percent), ``full_rpm``, ``fans`` and
    ``temperatures`` by name.
    """

    machine = models.OneToOneField(Machine, on_delete=models.CASCADE, related_name="bmc")
    host = models.CharField(max_length=255)
    port = models.PositiveIntegerField(default=443)
    credential = models.ForeignKey(Credential, on_delete=models.PROTECT, related_name="bmcs")
    fingerprint = models.CharField(max_length=95, blank=True, default="")
    offered_fingerprint = models.CharField(max_length=95, blank=True, default="")
    trouble = models.JSONField(default=dict, blank=True)
    seen = models.JSONField(default=dict, blank=True)
    seen_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"BMC of {self.machine}"

    def access(self) -> Access:
        """What the client needs to log in, the secret included."""
        return Access(
            self.machine.name, self.host, self.port, self.credential.username, self.credential.password,
            self.fingerprint,
        )  # fmt: skip
