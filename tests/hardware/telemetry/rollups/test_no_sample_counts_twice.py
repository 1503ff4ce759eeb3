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


def until(done: Callable[[], object], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.05)


def rows() -> dict[int, packing.Samples]:
    return {row.at: packing.unpack(row.data) for row in Minute.objects.order_by("at")}


def test_whoever_samples_and_whatever_is_away_each_sample_is_in_one_row_once(machine: Machine, collector):
    first = collector(10)
    until(lambda: len(sampled()) > 30, 60)
    # In the midst of a period, and again a moment later.
    while not 0.4 < time.time() % 1 < 0.6:
        time.sleep(0.01)
    first.kill()
    first.wait()
    died = time.time()
    collector(20)
    until(lambda: sampled()[-1] > died + 1.5, 60)
    # A third beside the second one.
    collector(30)
    together = time.time()
    until(lambda: third_sampled(together), 60)
    together = time.time()
    until(lambda: sampled()[-1] > together + 2.5)
    # Nobody can write for some periods.
    lock = sqlite3.connect(str(settings.DATABASES["default"]["TEST"]["NAME"]), isolation_level=None, timeout=10)
    lock.execute("BEGIN IMMEDIATE")
    time.sleep(2.2)
    lock.execute("ROLLBACK")
    lock.close()
    ended = int(time.time())
    expected = Counter(int(at) for at in {round(at, 3) for at in sampled()})
    # A busy box may leave a second without a sample; such a second has no row.
    seconds = sorted(at for at in expected if at < ended)
    until(lambda: Minute.objects.filter(at__gte=ended).exists() and set(seconds) <= set(rows()))
    found = rows()
    for at in seconds:
        assert len(found[at].states) == expected[at], f"second {at - seconds[0]} of {ended - seconds[0]}"
    assert {at for at in found if seconds[0] <= at < ended} == set(seconds)
    values = {load for at in seconds if at >= int(died) for load in found[at].values[:, 0].tolist()}
    assert values == {1000, 2000, 3000}
    # Every hour that is over is that of its samples.
    hour = min(expected) // 5 * 5
    until(lambda: Hour.objects.filter(at__gt=hour).exists())
    made = Hour.objects.get(at=hour)
    stats = packing.unpack_stats(made.data)[1]
    assert stats[0] is not None and stats[0].count == sum(expected[at] for at in range(hour, hour + 5))
