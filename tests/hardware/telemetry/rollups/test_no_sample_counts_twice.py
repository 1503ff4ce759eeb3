"""Collectors that die, come back, run beside each other or find the database locked: each sample is in one row, once.

The processes, the database and Redis are real; a period is a second, and an hour has five.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from hardware.inventory.models import Machine
from hardware.telemetry.rollups import packing
from hardware.telemetry.rollups.models import Hour, Minute
from hardware.telemetry.samples import kept

ROOT = Path(__file__).resolve().parents[4]
pytestmark = [
    pytest.mark.usefixtures("redis_server"),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="the processes use the tests' SQLite file"),
]


@pytest.fixture
def collector(machine: Machine) -> Iterator[Callable[[float], subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    environment = {
        **os.environ, "CONSOLE_VAR": str(settings.VAR_DIR), "CONSOLE_BUSY_SECONDS": "0.1",
        "DJANGO_SETTINGS_MODULE": "tests.faults.same_database",
    }  # fmt: skip

    def start(load: float) -> subprocess.Popen[bytes]:
        module = "tests.hardware.telemetry.rollups.sampling"
        started.append(
            subprocess.Popen([sys.executable, "-m", module, str(machine.pk), str(load)], cwd=ROOT, env=environment)
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def sampled() -> list[float]:
    return [sample.at for sample in kept({"n1": 0.0})]


def third_sampled(since: float) -> bool:
    return any(
        sample.at > since and chip["aicore_percent"] == 30 for sample in kept({"n1": since}) for chip in sample.chips
    )


def until(done: Callable[[], object], instead: Callable[[], object] = lambda: "it did not come to be") -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline, instead()
        time.sleep(0.05)


def rows() -> dict[int, packing.Samples]:
    return {row.at: packing.unpack(row.data) for row in Minute.objects.order_by("at")}


def sampled_by_second(ended: int) -> Counter[int]:
    """A busy box may leave a second without a sample; such a second has no row."""
    return Counter(int(at) for at in {*sampled()} if at < ended)


def differing(ended: int) -> dict[int, tuple[int, int]]:
    """Second -> samples in its row and in Redis, of those that are over and have not the same."""
    counts, expected = {at: len(row.states) for at, row in rows().items() if at < ended}, sampled_by_second(ended)
    pairs = {at: (counts.get(at, 0), expected[at]) for at in counts.keys() | expected.keys()}
    return {at: (row, redis) for at, (row, redis) in pairs.items() if row != redis}


def test_whoever_samples_and_whatever_is_away_each_sample_is_in_one_row_once(machine: Machine, collector):
    first = collector(10)
    until(lambda: len(sampled()) > 30)
    # In the midst of a period, and again a moment later.
    while not 0.4 < time.time() % 1 < 0.6:
        time.sleep(0.01)
    first.kill()
    first.wait()
    died = time.time()
    collector(20)
    until(lambda: sampled()[-1] > died + 1.5)
    # A third beside the second one.
    collector(30)
    together = time.time()
    until(lambda: third_sampled(together))
    together = time.time()
    until(lambda: sampled()[-1] > together + 2.5)
    # Nobody can write for some periods.
    lock = sqlite3.connect(str(settings.DATABASES["default"]["TEST"]["NAME"]), isolation_level=None, timeout=10)
    lock.execute("BEGIN IMMEDIATE")
    time.sleep(2.2)
    lock.execute("ROLLBACK")
    lock.close()
    ended = int(time.time())
    # Each on its own takes a while to write what it has, into Redis as into the row that they share.
    until(lambda: Minute.objects.filter(at__gte=ended).exists() and not differing(ended), lambda: differing(ended))
    expected, found = sampled_by_second(ended), rows()
    values = {load for at in expected if at >= int(died) for load in found[at].values[:, 0].tolist()}
    assert values == {1000, 2000, 3000}
    # Every hour that is over is that of its samples.
    hour = min(expected) // 5 * 5
    until(lambda: Hour.objects.filter(at__gt=hour).exists())
    made = Hour.objects.get(at=hour)
    stats = packing.unpack_stats(made.data)[1]
    assert stats[0] is not None and stats[0].count == sum(expected[at] for at in range(hour, hour + 5))
