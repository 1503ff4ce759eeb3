"""The console's Celery application, with the measured kinds and the plain tasks that they are compared with."""

from __future__ import annotations

import itertools
import threading

import django

from console.celery import app

django.setup()

from django.conf import settings  # noqa: E402
from django.db import connection  # noqa: E402
from redis import Redis  # noqa: E402

from console.bench.kinds import register  # noqa: E402

register()

__all__ = ["app"]

DONE = "bench:plain"
_counts: dict[str, itertools.count[int]] = {}
_guard = threading.Lock()


def _count(batch: str, size: int) -> None:
    with _guard:
        done = next(_counts.setdefault(batch, itertools.count(1)))
    if done == size:
        Redis.from_url(settings.REDIS_URL).set(f"{DONE}:{batch}", "done")


@app.task(name="bench.nothing")
def nothing(batch: str, size: int) -> None:
    """Does nothing; the last of a batch says so in Redis."""
    _count(batch, size)


@app.task(name="bench.row")
def row(batch: str, size: int) -> None:
    """Writes one row, as the least that a task does which leaves a trace."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO bench_plain (batch) VALUES (%s)", [batch])
    _count(batch, size)
