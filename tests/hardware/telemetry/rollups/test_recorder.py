from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from django.db import OperationalError

from hardware.inventory.models import Machine
from hardware.telemetry.recorder import Recorder
from hardware.telemetry.rollups import Period, Stat, recorder
from hardware.telemetry.rollups.models import Minute
from hardware.telemetry.rollups.reading import read
from hardware.telemetry.rollups.recorder import Rollups
from hardware.telemetry.samples import FIELDS, Sample
from tests.redis_server import Redis

# An hour that began some hours ago, so that Redis's hour is long over.
BEGAN = 1_800_000_000
CHIP = {**dict.fromkeys(FIELDS), "npu_id": 3, "chip_id": 0, "temp_c": 41.0, "health": "OK"}
WHEN = datetime.fromtimestamp(BEGAN, UTC)


def sample(at: float, load: float | None, **vitals: float) -> Sample:
    return Sample("n1", BEGAN + at, chips=[{**CHIP, "aicore_percent": load}], vitals=vitals)


async def stored(machine: Machine, step: int = 60) -> list[Period]:
    return await asyncio.to_thread(read, [machine], WHEN, WHEN + timedelta(hours=1), step)


def watching(machine: Machine) -> Rollups:
    rollups = Rollups(60)
    rollups.watch({"n1": machine.pk})
    return rollups


async def test_a_period_has_the_least_the_mean_the_greatest_and_the_95th_percentile(machine, redis_server: Redis):
    rollups = watching(machine)
    for turn in range(30):
        rollups.add(sample(2 * turn, turn, disk_used_percent=70.5))
    (closed,) = await rollups.close_periods(BEGAN + 66)
    assert closed.npus[3, 0]["aicore_percent"] == Stat(0, 14.5, 29, 28, 30)
    assert closed.npus[3, 0]["temp_c"] == Stat(41, 41, 41, 41, 30)
    # What was never read has no figure.
    assert set(closed.npus[3, 0]) == {"aicore_percent", "temp_c", "health"}
    assert closed.vitals == {"disk_used_percent": Stat(70.5, 70.5, 70.5, 70.5, 30)}
    assert (closed.machine, closed.at, closed.seconds, closed.state) == ("n1", WHEN, 60, "ok")
    assert await stored(machine) == [closed]
    assert await rollups.close_periods(BEGAN + 67) == []
    assert await Minute.objects.acount() == 1


async def test_what_comes_late_or_again_is_in_the_row_once(machine, redis_server: Redis):
    rollups = watching(machine)
    rollups.add(sample(10, 10))
    await rollups.close_periods(BEGAN + 66)
    for _ in range(2):
        rollups.add(sample(10, 10))
        rollups.add(sample(58, 40))
        (late,) = await rollups.close_periods(BEGAN + 67)
        (row,) = await stored(machine)
        assert row.npus[3, 0]["aicore_percent"] == Stat(10, 25, 40, 40, 2)
    assert late.npus[3, 0]["aicore_percent"].count == 2


async def test_two_collectors_that_saw_other_chips_and_vitals_make_one_row(machine, redis_server: Redis):
    one, other = watching(machine), watching(machine)
    one.add(sample(10, 10, links_down=0))
    second = sample(20, 30)
    second.chips.append({**CHIP, "npu_id": 1, "aicore_percent": 90})
    other.add(second)
    for rollups in (one, other, one):
        await rollups.close_periods(BEGAN + 66)
    (row,) = await stored(machine)
    assert row.npus[3, 0]["aicore_percent"] == Stat(10, 20, 30, 30, 2)
    assert row.npus[1, 0]["aicore_percent"] == Stat(90, 90, 90, 90, 1)
    assert row.vitals["links_down"] == Stat(0, 0, 0, 0, 1)


async def test_a_machine_that_was_asked_and_said_nothing_is_silent_and_one_that_nobody_asked_is_not_told_of(
    machine, redis_server: Redis
):
    rollups = watching(machine)
    assert await rollups.close_periods(BEGAN + 30) == []
    # Watched from the middle of this period on: who knows what it did before.
    assert await rollups.close_periods(BEGAN + 66) == []
    (silent,) = await rollups.close_periods(BEGAN + 126)
    assert (silent.state, silent.npus, silent.vitals) == ("silent", {}, {})
    assert [period.state for period in await stored(machine)] == ["silent"]
    # A sample of that time comes late after all; and who says silent again takes it away from nobody.
    rollups.add(sample(70, 10))
    await rollups.close_periods(BEGAN + 127)
    late = watching(machine)
    await late.close_periods(BEGAN + 59)
    await late.close_periods(BEGAN + 126)
    assert [period.state for period in await stored(machine)] == ["ok"]


async def test_a_collector_that_was_stopped_for_minutes_calls_nobody_silent_for_that_time(machine, redis_server: Redis):
    rollups = watching(machine)
    for second in range(0, 130, 10):
        rollups.add(sample(second, 10))
        await rollups.close_periods(BEGAN + second)
    # Stopped, or its host asleep, until the seventh minute.
    assert {period.state for period in await rollups.close_periods(BEGAN + 425)} == {"ok"}
    for second in range(426, 546):
        await rollups.close_periods(BEGAN + second)
    states = {(period.at - WHEN).seconds // 60: period.state for period in await stored(machine)}
    assert states == {0: "ok", 1: "ok", 2: "ok", 8: "silent"}


async def test_what_the_database_could_not_take_for_long_is_taken_from_redis_later(
    machine, redis_server: Redis, monkeypatch
):
    began = int(datetime.now(UTC).timestamp()) // 60 * 60 - 300
    there, real = [False], recorder.store

    def store(rows):
        if not there[0]:
            raise OperationalError("gone")
        real(rows)

    monkeypatch.setattr(recorder, "store", store)
    monkeypatch.setattr(recorder, "WAITING_ROWS", 2)
    rollups, redis = watching(machine), Recorder(600)
    for minute in range(5):
        one = Sample(
            "n1", began + 60 * minute + 30, chips=[{**CHIP, "aicore_percent": minute}], vitals={"links_down": 1}
        )
        await redis.record([one], 1)
        rollups.add(one)
        assert await rollups.close_periods(began + 60 * minute + 66) == []
    assert await Minute.objects.acount() == 0
    there[0] = True
    for second in range(3):
        await rollups.close_periods(began + 307 + second)
    since = datetime.fromtimestamp(began, UTC)
    found = await asyncio.to_thread(read, [machine], since, since + timedelta(minutes=5), 60)
    assert [period.npus[3, 0]["aicore_percent"] for period in found] == [Stat(n, n, n, n, 1) for n in range(5)]
    assert {period.vitals["links_down"].mean for period in found} == {1}
    await redis.close()


async def test_a_sample_of_the_last_half_of_a_millisecond_is_in_one_period_when_it_comes_again(
    machine, redis_server: Redis
):
    began = int(datetime.now(UTC).timestamp()) // 60 * 60 - 300
    one = Sample("n1", began + 59.9997, chips=[{**CHIP, "aicore_percent": 10}])
    redis, rollups = Recorder(2), watching(machine)
    await redis.record([one], 1)
    rollups.add(one)
    await rollups.close_periods(began + 126)
    # Another collector takes the machine over, and reads what Redis has.
    late = watching(machine)
    for second in range(2):
        await late.close_periods(began + 127 + second)
    since = datetime.fromtimestamp(began, UTC)
    found = await asyncio.to_thread(read, [machine], since, since + timedelta(minutes=2), 60)
    assert [period.npus[3, 0]["aicore_percent"].count for period in found] == [1]
    await redis.close()


async def test_a_machine_that_is_gone_costs_the_others_nothing(machine, redis_server: Redis):
    rollups = Rollups(60)
    rollups.watch({"n1": machine.pk, "n2": machine.pk + 1000})
    rollups.add(sample(10, 10))
    rollups.add(Sample("n2", BEGAN + 10, chips=[CHIP]))
    assert len(await rollups.close_periods(BEGAN + 66)) == 2
    assert [period.state for period in await stored(machine)] == ["ok"]
