"""What the site itself says of versions: a row of the table, with who said it and where it is known from."""

from __future__ import annotations

from django.db import models

from hardware.inventory.preflight.compatibility import Row


class Entry(models.Model):
    """``parts``: a part's name -> its versions, written as in the table of a file; ``only``: two of them, or nothing.
    ``updated_by`` is empty until it was replaced.

    A retired one is kept, and is not asked: what was launched by it can be understood later.
    """

    parts = models.JSONField()
    fits = models.BooleanField(default=True)
    only = models.JSONField(default=list, blank=True)
    source = models.CharField(max_length=500)
    created_by = models.CharField(max_length=150, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_by = models.CharField(max_length=150, blank=True, default="")
    updated_at = models.DateTimeField(null=True, blank=True)
    retired_by = models.CharField(max_length=150, blank=True, default="")
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "entries"

    def __str__(self) -> str:
        return f"entry {self.pk}"

    @property
    def row(self) -> Row:
        parts = {part: tuple(versions) for part, versions in self.parts.items()}
        return Row(self.pk, parts, self.source, self.fits, (self.only[0], self.only[1]) if self.only else None)
