"""Which job was launched for which alert."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from hardware.telemetry.alerts.models import Alert
from jobs.models import Job


class Remedy(models.Model):
    """A job that was launched to mend an alert; ``actor`` is who did it. One job may be for several alerts."""

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="remedies")
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="remedies")
    actor = models.CharField(max_length=150)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "remedies"
        constraints = [models.UniqueConstraint(fields=["alert", "job"], name="a_job_mends_an_alert_once")]

    def __str__(self) -> str:
        return f"{self.job} for {self.alert}"
