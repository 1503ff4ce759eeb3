"""Which job needs which, what is known of a job before it has a plan, and pipelines."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils import timezone

from jobs.models import Job


class Dependency(models.Model):
    """``job`` does not begin before ``needs`` has ended well (``jobs.pipelines.dependency``)."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="dependencies", db_index=False)
    needs = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="dependents")

    class Meta:
        unique_together = [("job", "needs")]

    def __str__(self) -> str:
        return f"{self.job} needs {self.needs}"


class Deferral(models.Model):
    """A job that is planned when its turn comes; it stays when that is done, as the record of how it came about.

    ``wanted`` are the ids of the machines that it was asked for; ``left_behind`` says of those that take no part why
    (name -> code, cause, mend). With ``approved_hash`` only that very plan is run; ``propose``: another person has to
    approve the plan once there is one.
    """

    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="deferral")
    wanted = models.JSONField(default=list, blank=True)
    left_behind = models.JSONField(default=dict, blank=True)
    approved_hash = models.CharField(max_length=64, blank=True, default="")
    propose = models.BooleanField(default=False)
    settled_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.job}, planned {self.settled_at or 'when its turn comes'}"


class Pipeline(models.Model):
    """A run of a pipeline. Its state is what its stages say (``jobs.pipelines.standing``): nothing is kept twice."""

    kind = models.CharField(max_length=40)
    params = models.JSONField(default=dict, blank=True)
    options = models.JSONField(default=dict, blank=True)
    machines = models.ManyToManyField("inventory.Machine", related_name="pipelines", blank=True)
    propose = models.BooleanField(default=False)
    created_by = models.CharField(max_length=150, blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"pipeline {self.pk}"


class PipelineStage(models.Model):
    """One stage: ``job`` is the one that carries it out now; those before it are what that one runs again.

    ``params`` may refer to the results of stages before it and to facts (``jobs.pipelines.references``).
    """

    pipeline = models.ForeignKey(Pipeline, on_delete=models.CASCADE, related_name="stages")
    position = models.PositiveIntegerField()
    name = models.CharField(max_length=40)
    kind = models.CharField(max_length=40)
    params: Any = models.JSONField(default=dict, blank=True)
    job = models.ForeignKey(Job, null=True, on_delete=models.SET_NULL, related_name="pipeline_stages")

    class Meta:
        ordering = ["pipeline", "position"]
        unique_together = [("pipeline", "position")]

    def __str__(self) -> str:
        return f"{self.pipeline} {self.name}"
