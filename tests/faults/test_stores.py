"""The stores under the engine: a database that can't be written, a Redis that dies and comes back empty."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import redis
from django.conf import settings
from django.db import connection

from hardware.inventory.models import Machine
from jobs.engine.reconciler import reconcile
from jobs.services import launch
from tests.faults import watch
from tests.faults.processes import start_worker
from tests.redis_server import Redis
from tests.worker import took


def test_a_database_that_is_locked_for_longer_than_anyone_waits_costs_time_and_nothing_else(
    machine: Machine, tmp_path: Path
):
    count, told, gate = tmp_path / "count", tmp_path / "told", tmp_path / "gate"
    job = launch("command", {"command": watch.counting(count, gate=gate)}, [machine], actor="ada")
    worker = start_worker(job, said=told, BUSY_SECONDS=0.2, LEASE_SECONDS=60)

    def waits() -> int:
        return told.read_bytes().count(b"the database is away")

    def ends() -> None:
        """The command, and the worker has not written it down."""
        gate.touch()
        watch.until((watch.folder(job) / "exit").exists)

    moments: list[tuple[Callable[[], object], Callable[[], None]]] = [
        (lambda: watch.first(job).boot_id, lambda: None),
        (lambda: watch.lines(job) >= 10, lambda: None),
        (lambda: True, ends),
    ]
    for moment, meanwhile in moments:
        watch.until(moment)
        with watch.database_locked():
            before = waits()
            meanwhile()
            watch.until(lambda before=before: waits() > before)
    assert worker.wait(watch.SECONDS) == 0
    watch.assert_whole(job, count, watch.written(), attempt=1)


def test_a_redis_that_is_killed_and_comes_back_empty_costs_a_running_job_nothing_and_a_new_one_time(
    machine: Machine, second: Machine, tmp_path: Path, redis_server: Redis
):
    count, other_count = tmp_path / "count", tmp_path / "other"
    job = launch("command", {"command": watch.counting(count)}, [machine], actor="ada")

    def break_it() -> None:
        watch.until(lambda: watch.lines(job) >= 10)
        redis_server.kill()
        made.append(launch("command", {"command": watch.counting(other_count, 1)}, [second], actor="ada"))
        watch.until(lambda: watch.lines(job) >= 30)
        redis_server.start()
        connection.close()

    made: list = []
    breaker = threading.Thread(target=break_it)
    breaker.start()
    assert took(job)
    breaker.join()
    watch.assert_whole(job, count, watch.written(), attempt=1)
    (other,) = made
    with redis.Redis.from_url(settings.REDIS_URL) as empty:
        assert empty.llen("machines") == 0
        assert reconcile() == [other.pk]
        watch.until(lambda: empty.llen("machines") == 1)
    assert took(other)
    watch.assert_whole(other, other_count, watch.written(1), attempt=1)
