"""Is the process alive, and can the console do its work? For probes: no login, no secrets, quick answers.

Workers and the collector leave signs of life in Redis that fade in seconds; nobody has to be asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import redis
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from redis.backoff import NoBackoff
from redis.retry import Retry

from hardware.telemetry.samples import collector

QUEUES = ("machines", "compute")
# Workers beat every two seconds.
WORKER_SECONDS = 12

Part = dict[str, Any]


@lru_cache(maxsize=1)
def _client() -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1, retry=Retry(NoBackoff(), 1)
    )


def worker_lives(queues: list[str], name: str) -> None:
    """The sign of life of a worker, told by itself. A Redis that is away is for ``/readyz`` to report."""
    try:
        for queue in queues:
            _client().set(f"console:worker:{queue}", name, ex=WORKER_SECONDS)
    except redis.RedisError:
        return


@login_not_required
@never_cache
def healthz(request: HttpRequest) -> JsonResponse:
    """The process answers."""
    return JsonResponse({"status": "ok"})


@login_not_required
@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """Each part that the console needs; 503 when one is missing. ``said`` tells what, and what to do."""
    parts = {
        "database": _look(_database, Error, "The database does not answer; look at DATABASE_URL and its server."),
        "migrations": _look(_migrations, Error, "The database does not answer, so its migrations are not known."),
        "redis": _look(_redis, redis.RedisError, "Redis does not answer; look at REDIS_URL and its server."),
        "workers": _look(_workers, redis.RedisError, "Redis does not answer, so the workers are not known."),
        "collector": _look(_collector, redis.RedisError, "Redis does not answer, so the collector is not known."),
    }
    ready = all(part["ok"] for part in parts.values())
    return JsonResponse({"status": "ready" if ready else "not-ready", "parts": parts}, status=200 if ready else 503)


def _look(part: Callable[[], Part], wrong: type[Exception], said: str) -> Part:
    try:
        return part()
    except wrong:
        # The error itself may hold an address with a password.
        return {"ok": False, "said": said}


def _database() -> Part:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return {"ok": True}


def _migrations() -> Part:
    pending = _pending()
    if not pending:
        return {"ok": True, "pending": 0}
    return {"ok": False, "pending": pending, "said": "The database is behind the program; run manage.py migrate."}


_migrated = False


def _pending() -> int:
    # Once there are none, there will be none in this process: new ones come with a new program.
    global _migrated
    if _migrated:
        return 0
    executor = MigrationExecutor(connection)
    pending = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    _migrated = pending == 0
    return pending


def _redis() -> Part:
    _client().ping()
    return {"ok": True}


def served() -> dict[str, bool]:
    """Whether a worker takes the jobs of each queue. Raises ``redis.RedisError`` when Redis does not answer."""
    found: Any = _client().mget([f"console:worker:{queue}" for queue in QUEUES])
    return {queue: value is not None for queue, value in zip(QUEUES, found, strict=True)}


def _workers() -> Part:
    queues = served()
    if all(queues.values()):
        return {"ok": True, "queues": queues}
    missing = ", ".join(queue for queue, lives in queues.items() if not lives)
    return {"ok": False, "queues": queues, "said": f"No worker takes jobs of: {missing}. Start one for that queue."}


def _collector() -> Part:
    sign = collector()
    if sign is None:
        return {"ok": False, "said": "No collector samples the machines; start manage.py collect."}
    age = round(time.time() - sign["at"], 1)
    return {"ok": True, "collectors": sign["collectors"], "machines": sign["machines"], "age_s": age}
