"""What a site has decided about when jobs may begin, and how many at once."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from jobs.models import Job


class Window(models.Model):
    """When jobs that change machines may begin there.

    ``open`` is a maintenance window: on ``weekdays`` (0 is Monday), from ``begins`` to ``ends`` on the wall clock of
    ``zone``; one that ends when it begins, or before, ends on the next day. A machine that has windows is open while
    one of them is. ``freeze`` forbids from ``starts_at`` until ``stops_at``, whatever windows are open.

    It is about the machines of ``site`` that have ``label``; each may be empty: any. With ``must_end_inside`` a job
    begins only if it is expected to end before the window does.
    """

    class Kind(models.TextChoices):
        OPEN = "open", _("Maintenance window")
        FREEZE = "freeze", _("Freeze")

    kind = models.CharField(max_length=6, choices=Kind.choices)
    name = models.CharField(max_length=80, unique=True)
    site = models.CharField(max_length=63, blank=True, default="")
    label = models.CharField(max_length=63, blank=True, default="")
    weekdays = models.JSONField(default=list, blank=True)
    begins = models.TimeField(null=True, blank=True)
    ends = models.TimeField(null=True, blank=True)
    zone = models.CharField(max_length=64, default="UTC")
    starts_at = models.DateTimeField(null=True, blank=True)
    stops_at = models.DateTimeField(null=True, blank=True)
    must_end_inside = models.BooleanField(default=False)
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["kind", "name"]

    def __str__(self) -> str:
        return self.name


class Urgency(models.Model):
    """A person has decided that a job need not wait for a window, and why."""

    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="urgency")
    actor = models.CharField(max_length=150)
    reason = models.CharField(max_length=500)
    at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.job}: {self.reason}"


class Limit(models.Model):
    """How much may be under way at once: ``jobs`` jobs, ``machines`` machines being changed; ``None`` is no limit.

    It counts the jobs of ``kind`` that have a machine at ``site``, and of those the machines there; each may be empty:
    any. A job is under way from its beginning to its end, paused or not.
    """

    kind = models.CharField(max_length=40, blank=True, default="")
    site = models.CharField(max_length=63, blank=True, default="")
    jobs = models.PositiveIntegerField(null=True, blank=True)
    machines = models.PositiveIntegerField(null=True, blank=True)
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["site", "kind"]
        constraints = [models.UniqueConstraint(fields=["kind", "site"], name="one_limit_for_each")]

    def __str__(self) -> str:
        return f"limit of {self.kind or 'any kind'} at {self.site or 'any site'}"
