"""Rows of rollups. ``data`` is packed (``packing``); ``at`` is when the period began, in seconds since 1970."""

from __future__ import annotations

from django.db import models

from hardware.inventory.models import Machine


class Minute(models.Model):
    """The samples of one machine in one minute, from which its figures are made when they are read."""

    # The constraint's index begins with the machine: one of its own would only cost.
    machine = models.ForeignKey(Machine, on_delete=models.CASCADE, related_name="minutes", db_index=False)
    at = models.PositiveIntegerField()
    state = models.CharField(max_length=10)
    data = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["machine", "at"], name="one_row_a_machine_a_minute")]

    def __str__(self) -> str:
        return f"{self.machine_id} at {self.at}"


class Hour(models.Model):
    """The figures of one machine in one hour; made from its minutes, again whenever one of those changes."""

    machine = models.ForeignKey(Machine, on_delete=models.CASCADE, related_name="hours", db_index=False)
    at = models.PositiveIntegerField()
    state = models.CharField(max_length=10)
    data = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["machine", "at"], name="one_row_a_machine_an_hour")]

    def __str__(self) -> str:
        return f"{self.machine_id} at {self.at}"
