from __future__ import annotations

from django.db import models


class IdempotentRequest(models.Model):
    """The answer to a POST that carried an ``Idempotency-Key``: given again when the same request is repeated."""

    user = models.CharField(max_length=150)
    key = models.CharField(max_length=200)
    request_sha256 = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(default=0)
    body = models.BinaryField(default=bytes)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="a_key_is_used_once")]

    def __str__(self) -> str:
        return f"{self.user} {self.key}"
