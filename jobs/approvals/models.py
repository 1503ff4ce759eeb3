"""What asks for a second person, and what the second person said.

State of an approval:

=============  ====================================================================================================
``waiting``    its job is ``proposed``; nobody has decided yet
``approved``   another person signed the plan's hash; the job is in line, runs or has run
``rejected``   another person said no; the job is ``cancelled``
``withdrawn``  the job was cancelled before anybody had decided
``lapsed``     the plan would no longer be the one that was asked for or approved; the job is ``cancelled`` and
               ``differs`` says what is different
=============  ====================================================================================================
"""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import pgettext_lazy

from jobs.models import Job


class ApprovalRule(models.Model):
    """Jobs that need a second person: of a kind, on a machine with a label, on a machine of a site.

    What is empty is any; one of the three is set. A job is concerned when one of its machines has both label and site.
    Where no kind is named, jobs that change nothing on their machines are not concerned.
    """

    kind = models.CharField(max_length=40, blank=True, default="")
    label = models.CharField(max_length=63, blank=True, default="")
    site = models.CharField(max_length=63, blank=True, default="")
    note = models.CharField(max_length=200, blank=True, default="")
    created_by = models.CharField(max_length=150, blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(kind="", label="", site=""), name="an_approval_rule_concerns_something"
            ),
            models.UniqueConstraint(fields=["kind", "label", "site"], name="an_approval_rule_is_there_once"),
        ]

    def __str__(self) -> str:
        named = (("kind", self.kind), ("label", self.label), ("site", self.site))
        return ", ".join(f"{what} {value}" for what, value in named if value)


class Approval(models.Model):
    """The question whether a job may run, and its answer. ``plan_hash`` is what was signed: person, time and hash.

    ``asked_by`` is the person who asked, also where a schedule or a pipeline did it in their name. ``rules`` are those
    that asked for it, in words, as they were; empty where the person asked of their own accord. ``differs`` are the
    differences for which it lapsed: ``[{machine, step, field, before, after}, ...]``.
    """

    class State(models.TextChoices):
        WAITING = "waiting", pgettext_lazy("approval", "Waits")
        APPROVED = "approved", pgettext_lazy("approval", "Approved")
        REJECTED = "rejected", pgettext_lazy("approval", "Rejected")
        WITHDRAWN = "withdrawn", pgettext_lazy("approval", "Withdrawn")
        LAPSED = "lapsed", pgettext_lazy("approval", "Lapsed")

    job = models.OneToOneField(Job, on_delete=models.CASCADE, primary_key=True, related_name="approval")
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    asked_by = models.CharField(max_length=150)
    asked_at = models.DateTimeField(default=timezone.now)
    rules = models.JSONField(default=list, blank=True)
    plan_hash = models.CharField(max_length=64, blank=True, default="")
    decided_by = models.CharField(max_length=150, blank=True, default="")
    decided_at = models.DateTimeField(null=True, blank=True)
    comment = models.TextField(blank=True, default="")
    lapsed_at = models.DateTimeField(null=True, blank=True)
    differs = models.JSONField(default=list, blank=True)

    class Meta:
        ordering = ["-job_id"]
        indexes = [models.Index(fields=["state", "-job"], name="approval_state")]

    def __str__(self) -> str:
        return f"approval of {self.job}"
