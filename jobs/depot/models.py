"""The depot: immutable blobs named by their SHA-256, and what is known about each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import models

from jobs.kind import ArtifactRef


class Artifact(models.Model):
    """A blob. ``type`` is an open set.

    driver, firmware, cann, os-package, mindspore, wheel, model, aipp, manifest, image, base-image, head,
    quantization-report.
    """

    type = models.CharField(max_length=24, db_index=True)
    name = models.CharField(max_length=255)
    version = models.CharField(max_length=64, blank=True, default="")
    sha256 = models.CharField(max_length=64, unique=True)
    size = models.PositiveBigIntegerField()
    meta = models.JSONField(default=dict, blank=True)
    origin = models.CharField(max_length=255, blank=True, default="")
    created_by = models.CharField(max_length=150, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name

    @property
    def path(self) -> Path:
        """Where the blob lies; two levels, so that no folder grows without bound."""
        return blob_path(self.sha256)

    def ref(self) -> ArtifactRef:
        meta: dict[str, Any] = dict(self.meta)
        return ArtifactRef(self.pk, self.type, self.name, self.version, self.sha256, self.size, meta)


def blob_path(sha256: str) -> Path:
    return Path(settings.DEPOT_DIR) / "blobs" / sha256[:2] / sha256
