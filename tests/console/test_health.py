from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client

from console import health
from hardware.telemetry.recorder import Recorder
from tests.redis_server import Redis

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def collector(redis_server: Redis) -> None:
    """The sign of life that a collector of three machines leaves."""

    async def leave() -> None:
        recorder = Recorder(2)
        assert await recorder.record([], 3)
        await recorder.close()

    asyncio.run(leave())


def test_a_process_that_answers_is_alive_whatever_else_is_not(client: Client):
    # No database is allowed in this test, and no Redis runs.
    answer = client.get("/healthz")
    assert answer.status_code == 200 and answer.json() == {"status": "ok"}


def test_all_parts_together_are_ready_and_nobody_has_to_log_in(client: Client, transactional_db, collector):
    # A worker as it is started, on both queues.
    command = [
        sys.executable, "-m", "celery", "-A", "console.celery", "worker", "--pool", "threads", "--without-gossip",
        "--without-mingle", "-Q", "machines,compute", "-c", "1", "-n", "test@%h", "--loglevel", "WARNING",
    ]  # fmt: skip
    worker = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "CONSOLE_VAR": str(settings.VAR_DIR)})
    try:
        for _ in range(300):
            answer = client.get("/readyz")
            if answer.json()["parts"]["workers"]["ok"]:
                break
            assert answer.status_code == 503
            asyncio.run(asyncio.sleep(0.1))
        parts = answer.json()["parts"]
        assert parts["workers"] == {"ok": True, "queues": {"machines": True, "compute": True}}
        assert parts["database"] == {"ok": True} and parts["redis"] == {"ok": True}
        assert parts["migrations"] == {"ok": True, "pending": 0}
    finally:
        worker.terminate()
        worker.wait(20)


def test_what_is_missing_is_named_with_its_mend(client: Client, transactional_db, redis_server: Redis):
    answer = client.get("/readyz")
    assert answer.status_code == 503 and answer.json()["status"] == "not-ready"
    parts = answer.json()["parts"]
    assert parts["database"]["ok"] and parts["redis"]["ok"]
    assert "machines, compute" in parts["workers"]["said"]
    assert "manage.py collect" in parts["collector"]["said"]


def test_a_collector_that_lives_is_seen(client: Client, transactional_db, collector):
    part = client.get("/readyz").json()["parts"]["collector"]
    assert part["ok"] and part["machines"] == 3 and part["age_s"] < 10


def test_a_redis_that_is_away_is_said_soon_and_without_its_address(client: Client, transactional_db):
    answer = client.get("/readyz")
    assert answer.status_code == 503
    for name in ("redis", "workers", "collector"):
        assert "Redis does not answer" in answer.json()["parts"][name]["said"]
    assert str(settings.VAR_DIR) not in answer.content.decode()


def test_a_database_that_is_behind_is_not_ready(client: Client, transactional_db, monkeypatch):
    monkeypatch.setattr(health, "_migrated", False)
    recorder = MigrationRecorder(connection)
    [newest] = MigrationExecutor(connection).loader.graph.leaf_nodes("jobs")
    recorder.record_unapplied(*newest)
    try:
        part = client.get("/readyz").json()["parts"]["migrations"]
    finally:
        recorder.record_applied(*newest)
    assert not part["ok"] and part["pending"] >= 1 and "manage.py migrate" in part["said"]
