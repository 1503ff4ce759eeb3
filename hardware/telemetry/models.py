"""Collectors that sample the fleet."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class CollectorMember(models.Model):
    """A collector that runs, or ran. ``beat_at`` is by the database's clock."""

    name = models.CharField(max_length=80, unique=True)
    began_at = models.DateTimeField(db_default=Now())
    beat_at = models.DateTimeField(db_default=Now())
    machines = models.PositiveIntegerField(default=0)
    leaving = models.BooleanField(default=False)

    class Meta:
        ordering = ["began_at"]

    def __str__(self) -> str:
        return self.name
