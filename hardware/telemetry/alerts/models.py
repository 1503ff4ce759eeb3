"""Rules and what they found.

An alert is ``open`` from the moment that all conditions of its rule have held for ``for_s``; it is ``ended`` once one
of them has been on the good side of its ``clear`` value for ``clear_for_s``, or when nobody asks any more
(``why_ended``). An ended one never opens again: the next time is a new alert.
"""

from __future__ import annotations

from typing import Any

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from hardware.inventory.models import Machine


class Rule(models.Model):
    """Conditions, all of which must hold on one NPU, or on one NPU and its machine (``scope``), for ``for_s`` seconds.

    ``conditions``: [{"metric", "stat", "op", "value", "clear"}], see ``hardware.telemetry.alerts.metrics``. ``version``
    counts the changes of what is judged: what was pending under another version does not count. ``edited``: a person
    has changed a built-in one, so a newer console leaves it alone.
    """

    class Severity(models.TextChoices):
        INFO = "info"
        WARNING = "warning"
        CRITICAL = "critical"

    class Scope(models.TextChoices):
        NPU = "npu"
        MACHINE = "machine"

    slug = models.CharField(max_length=60, unique=True, validators=[RegexValidator(r"^[a-z0-9][a-z0-9-]*$")])
    title = models.CharField(max_length=120)
    severity = models.CharField(max_length=10, choices=Severity.choices, default=Severity.WARNING)
    scope = models.CharField(max_length=10, choices=Scope.choices, default=Scope.MACHINE)
    conditions = models.JSONField()
    for_s = models.PositiveIntegerField(default=0)
    clear_for_s = models.PositiveIntegerField(default=0)
    enabled = models.BooleanField(default=True)
    cause = models.TextField(blank=True, default="")
    advice = models.TextField(blank=True, default="")
    remedy = models.JSONField(default=dict, blank=True)
    builtin = models.BooleanField(default=False)
    edited = models.BooleanField(default=False)
    version = models.PositiveIntegerField(default=1)
    created_by = models.CharField(max_length=150, blank=True, default="")
    updated_by = models.CharField(max_length=150, blank=True, default="")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-builtin", "slug"]

    def __str__(self) -> str:
        return self.slug


class Alert(models.Model):
    """A rule that fired. ``npu`` is ``0-0`` (NPU and chip id), or empty where it is of the whole machine.

    ``since`` is when its conditions began to hold, ``opened_at`` when they had held for long enough. ``values`` are
    the values at that time by metric, and what else is known of them (``fault_codes``, ``conflicts``).
    ``clearing_since`` is when it was last seen to become well, without a break.
    """

    class State(models.TextChoices):
        OPEN = "open"
        ENDED = "ended"

    class Ended(models.TextChoices):
        CLEARED = "cleared"
        DISABLED = "disabled"
        RULE_CHANGED = "rule-changed"
        RETIRED = "retired"

    rule = models.ForeignKey(Rule, on_delete=models.PROTECT, related_name="alerts")
    machine = models.ForeignKey(Machine, on_delete=models.CASCADE, related_name="alerts")
    npu = models.CharField(max_length=15, blank=True, default="")
    state = models.CharField(max_length=6, choices=State.choices, default=State.OPEN)
    since = models.DateTimeField()
    opened_at = models.DateTimeField(default=timezone.now)
    clearing_since = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    why_ended = models.CharField(max_length=15, blank=True, default="", choices=Ended.choices)
    values = models.JSONField(default=dict, blank=True)
    acknowledged_by = models.CharField(max_length=150, blank=True, default="")
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    note = models.TextField(blank=True, default="")

    class Meta:
        ordering = ["-id"]
        constraints = [
            # Two collectors that judge one machine at the same time open one alert.
            models.UniqueConstraint(
                fields=["rule", "machine", "npu"], condition=Q(state="open"), name="one_open_alert"
            ),
        ]
        indexes = [
            models.Index(fields=["state", "-id"], name="alerts_by_state"),
            models.Index(fields=["machine", "-id"], name="alerts_of_machine"),
        ]

    def __str__(self) -> str:
        return f"{self.rule.slug} on {self.machine.name}{' NPU ' + self.npu if self.npu else ''}"


class Memory(models.Model):
    """What judging a machine has to know of the periods before: of each machine of which there is something.

    ``pending``: ``RULE.VERSION|NPU`` -> [since, until] in seconds since 1970, while conditions hold and no alert is
    open. ``counters``: ``METRIC|NPU`` -> [the last value, the end of the period that had it first]. ``rises``:
    ``RULE.VERSION|METRIC|NPU`` -> [[at, by how much], ...] within the rule's duration.
    """

    machine = models.OneToOneField(Machine, on_delete=models.CASCADE, primary_key=True, related_name="+")
    pending = models.JSONField(default=dict)
    counters = models.JSONField(default=dict)
    rises = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"of {self.machine_id}"


class Silence(models.Model):
    """Alerts within its scope are recorded and not told of, from ``starts_at`` to ``ends_at``.

    What is set narrows it: a rule, a machine, a label of machines, a site. At least one is. ``ended_by`` ended it
    before its time.
    """

    rule = models.ForeignKey(Rule, null=True, blank=True, on_delete=models.CASCADE, related_name="silences")
    machine = models.ForeignKey(Machine, null=True, blank=True, on_delete=models.CASCADE, related_name="silences")
    label = models.CharField(max_length=63, blank=True, default="")
    site = models.CharField(max_length=63, blank=True, default="")
    reason = models.TextField()
    starts_at = models.DateTimeField(default=timezone.now)
    ends_at = models.DateTimeField()
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)
    ended_by = models.CharField(max_length=150, blank=True, default="")

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["ends_at"], name="silences_by_end")]

    def __str__(self) -> str:
        return f"silence {self.pk}"

    def covers(self, alert: Alert) -> bool:
        """Whether the alert is in its scope, whatever the time; needs the alert's machine."""
        machine: Any = alert.machine
        return (
            (self.rule_id is None or self.rule_id == alert.rule_id)
            and (self.machine_id is None or self.machine_id == alert.machine_id)
            and (not self.label or self.label in machine.labels)
            and (not self.site or self.site == machine.site)
        )


class Software(models.Model):
    """The versions on a machine, beside its facts: comparing a fleet's must not read all of its facts each time.

    ``parts``: ``driver``, ``firmware``, ``cann``, ``npu-smi`` -> version. ``outside``: what the driver's own ranges do
    not admit.
    """

    machine = models.OneToOneField(Machine, on_delete=models.CASCADE, primary_key=True, related_name="+")
    chip = models.CharField(max_length=63, blank=True, default="")
    parts = models.JSONField(default=dict)
    outside = models.JSONField(default=list)

    def __str__(self) -> str:
        return f"of {self.machine_id}"
