"""Several collectors, each a process of its own, on one fleet."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
import redis
from django.conf import settings
from django.db.models.functions import Now

from hardware.inventory.models import Machine
from hardware.telemetry import collector, members
from hardware.telemetry.models import CollectorMember
from hardware.telemetry.samples import latest, unpack
from hardware.telemetry.shares import Shares, winner
from tests.faults.processes import Process
from tests.hardware.telemetry import collector_process
from tests.hardware.telemetry.conftest import until
from tests.redis_server import Redis
from tests.sshd import Server

INTERVAL = 1.0
DEAD_SECONDS = 3.0
# Between two samples; the machine that runs the tests is a busy one.
GAP_SECONDS = 2.5 * INTERVAL
MACHINES = [f"n{number}" for number in range(1, 9)]


def start() -> Process:
    return Process(collector_process.main, INTERVAL, DEAD_SECONDS)


def owners() -> dict[str, str]:
    """Whose each machine's newest sample is."""
    return {name: sample["by"] for name, sample in latest(MACHINES).items()}


def taken(name: str) -> list[tuple[float, str]]:
    """When a machine was sampled, and by whom."""
    client = redis.Redis.from_url(settings.REDIS_URL, decode_responses=True)
    samples = [unpack(fields["s"]) for _, fields in client.xrange(f"telemetry:hour:{name}")]
    return sorted((seconds(sample["at"]), sample["by"]) for sample in samples)


def seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()


def longest_gap() -> float:
    return max(later[0] - before[0] for name in MACHINES for before, later in pairwise(taken(name)))


@pytest.mark.usefixtures("tool")
async def test_they_share_a_fleet_hand_over_without_a_gap_and_take_over_from_a_dead_one(
    server: Server, enroll, redis_server: Redis
):
    for name in MACHINES:
        await asyncio.to_thread(enroll, name, server)
    first = await asyncio.to_thread(start)
    processes = [first]
    try:
        await until(lambda: len(owners()) == len(MACHINES))
        [old] = set(owners().values())
        second, third = await asyncio.to_thread(start), await asyncio.to_thread(start)
        processes += [second, third]
        await until(lambda: CollectorMember.objects.count() == 3)
        names = set(await asyncio.to_thread(lambda: set(CollectorMember.objects.values_list("name", flat=True))))
        wanted = {name: winner(await asyncio.to_thread(id_of, name), names) for name in MACHINES}
        await until(lambda: owners() == wanted)
        # Who hands over lets go at the new one's first sample: from then on each has one sampler.
        await asyncio.sleep(1.5)
        redis_server.kill()
        await asyncio.to_thread(redis_server.start)
        await until(lambda: owners() == wanted)
        # The database says who samples what, so Redis may be emptied: nobody stops. On a busy box a heartbeat may be
        # late and a share move for a moment; it comes back.
        await until(lambda: owners() == wanted, 30)

        by_pid = {name.split("-")[-2]: name for name in names}
        dead = by_pid[str(second.pid)]
        loop = asyncio.get_running_loop()
        second.kill()
        died = loop.time()
        await until(lambda: dead not in owners().values() and len(owners()) == len(MACHINES))
        assert loop.time() - died < 15
        await until(lambda: set(owners().values()) == names - {dead})

        # One that is told to end hands over first.
        before = {name: len(taken(name)) for name in MACHINES}
        first.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(first.wait, 20) == 0
        last = names - {dead, old}
        await until(lambda: set(owners().values()) == last)
        for name in MACHINES:
            times = [at for at, _ in taken(name)][before[name] - 1 :]
            assert all(later - earlier < 15 for earlier, later in pairwise(times)), name
        assert not await asyncio.to_thread(CollectorMember.objects.filter(name=old).exists)
    finally:
        for process in processes:
            process.kill()


def id_of(name: str) -> int:
    return Machine.objects.get(name=name).pk


def test_a_dead_collectors_machines_are_sampled_again_within_fifteen_seconds():
    # What a login and a reading take comes on top.
    assert members.DEAD_SECONDS + 2 * collector.MEMBERS_SECONDS + 2 < 15


def test_one_that_comes_or_goes_moves_its_own_share_and_no_other():
    three, ids = ["a", "b", "c"], range(1, 3001)
    before = {number: winner(number, three) for number in ids}
    counts = Counter(before.values())
    assert all(900 < counts[name] < 1100 for name in three)
    after = {number: winner(number, ["a", "b"]) for number in ids}
    assert all(after[number] == owner for number, owner in before.items() if owner != "c")
    more = {number: winner(number, [*three, "d"]) for number in ids}
    assert all(more[number] in (owner, "d") for number, owner in before.items())
    shares = Shares("a")
    assert shares.winners(ids, three) == before and shares.winners(ids, ["b", "a"]) == after
    assert winner(1, []) is None


@pytest.mark.django_db(transaction=True)
def test_a_row_that_does_not_beat_or_that_leaves_owns_nothing():
    assert members.beat("me", 3, False).known is False
    assert members.beat("other", 0, False).living == {"me"}
    assert members.beat("me", 3, False).known is True
    for change in (
        {"beat_at": Now() - timedelta(seconds=9)},
        {"beat_at": Now() + timedelta(days=1)},
        {"leaving": True},
    ):
        CollectorMember.objects.filter(name="other").update(**change)
        assert members.living("me") == frozenset(), change
        members.beat("other", 0, False)
        assert members.living("me") == {"other"}
    members.leave("other")
    assert members.living("me") == frozenset()
