from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from hardware.inventory.models import Machine
from hardware.telemetry.rollups import Stat, packing, retention
from hardware.telemetry.rollups.hours import Hours
from hardware.telemetry.rollups.models import Hour, Minute
from hardware.telemetry.rollups.reading import read
from hardware.telemetry.rollups.store import Row, store
from hardware.telemetry.samples import FIELDS, Sample

BEGAN = 1_799_971_200
WHEN = datetime.fromtimestamp(BEGAN, UTC)
CHIP = {**dict.fromkeys(FIELDS), "npu_id": 0, "chip_id": 0}


def row(machine: Machine, at: int, *loads: float) -> Row:
    """A minute of that many samples."""
    samples = [Sample("n1", at + n, chips=[{**CHIP, "aicore_percent": load}]) for n, load in enumerate(loads)]
    gathered = packing.gathered([packing.reading(one) for one in samples], at)
    return Row(machine.pk, at, gathered.state, packing.pack(gathered))


def hour_of(machine: Machine, begin: int = BEGAN) -> None:
    # One minute of sixty is high throughout: percentiles of minutes can't tell what part of the hour that is.
    store([row(machine, begin + 60 * n, *([80] * 30 if n == 7 else range(n, n + 30))) for n in range(60)])


def load_of(machine: Machine, step: int) -> list[Stat]:
    found = read([machine], WHEN, WHEN + timedelta(hours=3), step)
    return [period.npus[0, 0]["aicore_percent"] for period in found]


def test_the_95th_percentile_of_an_hour_is_that_of_its_samples(machine: Machine):
    hour_of(machine)
    asyncio.run(Hours().tend(BEGAN + 3600 + 121, [machine.pk]))
    values = sorted([80] * 30 + [value for n in range(60) if n != 7 for value in range(n, n + 30)])
    exact = values[-(-len(values) * 95 // 100) - 1]
    (stat,) = load_of(machine, 3600)
    assert stat == (0, pytest.approx(sum(values) / len(values)), 88, exact, 1800)
    # The same of the minutes themselves, in any step.
    assert [part.count for part in load_of(machine, 600)] == [300] * 6
    assert load_of(machine, 1800)[0].max == 80


def test_an_hour_is_made_once_and_again_when_a_minute_of_it_comes_late(machine: Machine):
    hours = Hours()
    store([row(machine, BEGAN, 10)])
    asyncio.run(hours.tend(BEGAN + 3600 + 119, [machine.pk]))
    assert not Hour.objects.exists()
    for _ in range(2):
        asyncio.run(hours.tend(BEGAN + 3600 + 121, [machine.pk]))
        assert load_of(machine, 3600) == [Stat(10, 10, 10, 10, 1)]
    store([row(machine, BEGAN + 60, 30)])
    hours.changed(machine.pk, BEGAN + 60)
    asyncio.run(hours.tend(BEGAN + 3600 + 122, [machine.pk]))
    assert load_of(machine, 3600) == [Stat(10, 20, 30, 30, 2)]
    assert Hour.objects.count() == 1


def test_a_collector_that_starts_makes_the_hours_that_were_missed_and_the_last_one_again(machine: Machine):
    store([row(machine, BEGAN + 3600 * n, 10 * n) for n in range(3)])
    Hour.objects.create(machine=machine, at=BEGAN, state="silent", data=b"")
    asyncio.run(Hours().tend(BEGAN + 3 * 3600 + 121, [machine.pk]))
    assert [stat.max for stat in load_of(machine, 3600)] == [0, 10, 20]
    # Several hours as one: the greatest of their percentiles.
    assert load_of(machine, 3 * 3600) == [Stat(0, 10, 20, 20, 3)]


def test_old_minutes_leave_as_hours_and_old_hours_leave(machine: Machine, monkeypatch):
    monkeypatch.setattr(retention, "PIECE", 20)
    hour_of(machine)
    late = BEGAN + 4 * 86400
    store([row(machine, late, 5)])
    assert retention.remove_old(BEGAN + 3 * 86400) == 0
    # Nobody has made its hour: the machine was retired in the midst of it.
    assert retention.remove_old(late) == 60
    assert [stat.count for stat in load_of(machine, 3600)] == [1800]
    assert Minute.objects.get().at == late
    assert retention.remove_old(BEGAN + 401 * 86400) == 2
    assert not Minute.objects.exists() and list(Hour.objects.values_list("at", flat=True)) == [late]


@pytest.mark.parametrize("step", [0, 30, 90, 420, 5400])
def test_a_step_that_divides_no_hour_is_refused(machine: Machine, step: int):
    with pytest.raises(ValueError, match="whole minutes that divide an hour"):
        read([machine], WHEN, WHEN, step)


def test_a_row_of_another_format_or_a_spoiled_one_is_said_to_be(machine: Machine):
    packed = row(machine, BEGAN, 1, 2).data
    with pytest.raises(ValueError, match="format 9"):
        packing.unpack(b"\x09" + packed[1:])
    with pytest.raises(ValueError, match="can't be inflated"):
        packing.unpack(packed[:1] + b"nonsense")
