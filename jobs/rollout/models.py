"""Releases, and what runs on each machine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models

from jobs.depot.models import Artifact
from jobs.models import Job
from jobs.serving.parameters import BOUNDS, Parameters

# Names go into container names and host paths.
_NAME = RegexValidator(r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")


def _bounded(name: str) -> list[Any]:
    low, high = BOUNDS[name]
    return [MinValueValidator(low), MaxValueValidator(high)]


class Release(models.Model):
    """An image with how it is served. Immutable: another way of serving is another version.

    ``devices`` are the NPUs (N of ``/dev/davinciN``) that the container gets. ``smoke_text`` is asked of each machine
    before it counts as served, and ``smoke_label`` is the answer that it must give. ``preprocessing_workers``,
    ``max_batch`` and ``memory_budget_mb`` are its serving parameters (``jobs.serving.parameters``).
    """

    name = models.CharField(max_length=60, validators=[_NAME])
    version = models.CharField(max_length=40, validators=[_NAME])
    image = models.ForeignKey(Artifact, on_delete=models.PROTECT, related_name="releases")
    port = models.PositiveIntegerField(default=8000, validators=[MinValueValidator(1024), MaxValueValidator(65535)])
    devices = models.JSONField(default=list)
    smoke_text = models.CharField(max_length=500)
    smoke_label = models.CharField(max_length=120)
    preprocessing_workers = models.PositiveSmallIntegerField(default=1, validators=_bounded("preprocessing_workers"))
    max_batch = models.PositiveSmallIntegerField(default=16, validators=_bounded("max_batch"))
    memory_budget_mb = models.PositiveIntegerField(default=0, validators=_bounded("memory_budget_mb"))
    created_by = models.CharField(max_length=150, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["name", "version"], name="a_release_is_named_once")]

    def __str__(self) -> str:
        return f"{self.name}:{self.version}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            raise ValueError(f"release {self} is immutable; make another version")
        super().save(*args, **kwargs)

    @property
    def container(self) -> str:
        """The container's name on a machine."""
        return f"console-{self.name}-{self.version}"

    @property
    def parameters(self) -> Parameters:
        return Parameters(self.preprocessing_workers, self.max_batch, self.memory_budget_mb)


class Deployment(models.Model):
    """The release that a machine serves.

    ``overrides`` are serving parameters that this machine has in the place of the release's own: those that were tuned
    there (docs/decisions/0020). They end with the release.
    """

    class State(models.TextChoices):
        CHANGING = "changing"
        SERVING = "serving"
        DOWN = "down"

    machine = models.OneToOneField("inventory.Machine", on_delete=models.CASCADE, related_name="deployment")
    release = models.ForeignKey(Release, on_delete=models.PROTECT, related_name="deployments")
    state = models.CharField(max_length=10, choices=State.choices)
    overrides = models.JSONField(default=dict, blank=True)
    job = models.ForeignKey(Job, null=True, blank=True, on_delete=models.SET_NULL, related_name="deployments")
    since = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["machine"]

    def __str__(self) -> str:
        return f"{self.machine} serves {self.release}"

    @property
    def parameters(self) -> Parameters:
        """What its container is started with."""
        return replace(self.release.parameters, **self.overrides)
