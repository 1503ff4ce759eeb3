from __future__ import annotations

from django.db import models

from hardware.inventory.encryption import EncryptedTextField
from jobs.models import Job


class JobSecret(models.Model):
    """A secret parameter of a job that has not ended; encrypted, and deleted in the transaction that ends the job."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="secrets")
    name = models.CharField(max_length=60)
    value = EncryptedTextField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "name"], name="a_secret_is_kept_once")]

    def __str__(self) -> str:
        return f"{self.name} of {self.job}"
