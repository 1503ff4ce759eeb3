"""Schedules, and what became of each of their times.

Outcome of a fire:

============  ========================================================================================================
``begun``     its time has come and the schedule has moved on to the next one; the job is being planned
``launched``  ``job`` is there
``skipped``   nothing was launched, as the schedule says: the job before had not ended, or the time was missed by more
              than is caught up
``refused``   no job could be launched (the plan is refused, a machine is retired, no machine matches)
``errored``   the console itself is at fault
============  ========================================================================================================

``begun`` goes to any of the others; a worker that dies in between leaves it to the next sweep.
"""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from jobs.models import Job
from jobs.request import Request
from jobs.schedules.recurrence import Recurrence


class Schedule(models.Model):
    """A request that is launched by the clock.

    ``request`` is a ``jobs.request.Request`` as JSON; its machines are found anew each time. ``next_at`` is the time
    that comes next, and the truth about it: celery beat only wakes us. ``owner`` is who answers for it: a fire is
    launched in their name, and not at all once their account is gone. ``catch_up_s``: a time that was missed by no more
    than this is made up for, once. ``asked_by`` is who set the request last: who may not approve its jobs.
    ``refused_in_a_row`` counts the last fires for which no job could be launched.
    """

    class Mode(models.TextChoices):
        ONCE = "once", _("Once")
        CRON = "cron", _("By a cron expression")
        EVERY = "every", _("Every so often")

    class Overlap(models.TextChoices):
        SKIP = "skip", _("Skip it")
        QUEUE = "queue", _("Queue it behind the job before")

    name = models.CharField(max_length=80, unique=True)
    request = models.JSONField()
    mode = models.CharField(max_length=5, choices=Mode.choices)
    at = models.DateTimeField(null=True, blank=True)
    cron = models.CharField(max_length=120, blank=True, default="")
    seconds = models.PositiveIntegerField(default=0)
    zone = models.CharField(max_length=64, default="UTC")
    enabled = models.BooleanField(default=True)
    owner = models.CharField(max_length=150)
    asked_by = models.CharField(max_length=150, default="")
    overlap = models.CharField(max_length=5, choices=Overlap.choices, default=Overlap.SKIP)
    catch_up_s = models.PositiveIntegerField(default=3600)
    next_at = models.DateTimeField(null=True, blank=True)
    refused_in_a_row = models.PositiveIntegerField(default=0)
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["name"]
        indexes = [models.Index(fields=["enabled", "next_at"], name="schedule_due")]

    def __str__(self) -> str:
        return self.name

    @property
    def actor(self) -> str:
        """Who launches its jobs."""
        return f"schedule:{self.pk}"

    @property
    def recurrence(self) -> Recurrence:
        return Recurrence(self.mode, self.zone, self.at, self.cron, self.seconds)  # type: ignore[arg-type]

    def asked(self) -> Request:
        """What is launched."""
        return Request.from_json(self.request)


class Fire(models.Model):
    """One time of a schedule. ``passed_over`` is how many times before it were missed and not made up for.

    ``by`` is who wanted it now; empty for the clock. ``after`` is the job that its job waits for.
    """

    class Outcome(models.TextChoices):
        BEGUN = "begun", _("Being launched")
        LAUNCHED = "launched", _("Launched")
        SKIPPED = "skipped", _("Skipped")
        REFUSED = "refused", _("Not launched")
        ERRORED = "errored", _("Errored")

    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="fires")
    due_at = models.DateTimeField()
    at = models.DateTimeField(default=timezone.now)
    by = models.CharField(max_length=150, blank=True, default="")
    outcome = models.CharField(max_length=8, choices=Outcome.choices, default=Outcome.BEGUN)
    passed_over = models.PositiveIntegerField(default=0)
    job = models.OneToOneField(Job, null=True, blank=True, on_delete=models.SET_NULL, related_name="fire")
    after = models.ForeignKey(Job, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    reason = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["schedule", "due_at"], name="a_time_fires_once")]
        indexes = [models.Index(fields=["outcome", "at"], name="fire_outcome")]

    def __str__(self) -> str:
        return f"{self.schedule} at {self.due_at:%F %T}"
