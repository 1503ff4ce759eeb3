from __future__ import annotations

from collections.abc import Iterator

import pytest

from console.realtime.messages import Wakeup, newer
from hardware.events import Change, changed
from hardware.telemetry.news import AGAIN_SECONDS, FLEET_SECONDS, News
from hardware.telemetry.samples import FIELDS, FLEET, Sample


@pytest.fixture
def told() -> Iterator[list[Change]]:
    heard: list[Change] = []

    def listen(sender: object, change: Change, **_: object) -> None:
        heard.append(change)

    changed.connect(listen)
    yield heard
    changed.disconnect(listen)


def sample(machine: str, load: float, at: float = 1000.0) -> Sample:
    return Sample(machine, at, chips=[{**dict.fromkeys(FIELDS), "npu_id": 0, "chip_id": 0, "aicore_percent": load}])


def machines(told: list[Change]) -> list[set[str]]:
    return [set(change.payload["machines"]) for change in told if change.topic == "fleet"]


@pytest.mark.django_db
def test_nothing_is_told_while_nobody_looks_and_a_machines_page_gets_its_own(told: list[Change]):
    news = News(2)
    news.tell([sample("n1", 1), sample("n2", 1)], set(), 10.0)
    assert told == []
    news.tell([sample("n1", 1), sample("n2", 1)], {"n2"}, 11.0)
    assert [(change.topic, change.type) for change in told] == [("telemetry:n2", "samples")]
    assert told[0].payload["interval_s"] == 2


@pytest.mark.django_db
def test_the_heat_map_is_told_ten_times_a_second_at_most_and_only_of_what_changed(told: list[Change]):
    news = News(2)
    for tenth in range(100):
        # The loop comes by every twentieth of a second; one machine's load changes each time, the other's never.
        news.tell([sample("busy", tenth), sample("idle", 0)], {FLEET}, 10 + tenth / 20)
    assert len(machines(told)) <= 5 / FLEET_SECONDS + 1
    assert machines(told)[0] == {"busy", "idle"} and all(one == {"busy"} for one in machines(told)[1:])
    told.clear()
    news.tell([sample("idle", 0)], {FLEET}, 10 + AGAIN_SECONDS + 1)
    assert machines(told) == [{"idle"}]


def test_of_two_readings_that_wait_what_only_the_earlier_tells_is_kept():
    def of(**machines: int) -> Wakeup:
        return Wakeup(topic="fleet", key="telemetry", payload={"at": "now", "machines": machines})

    assert newer(of(n1=1, n2=1), of(n2=2))["payload"]["machines"] == {"n1": 1, "n2": 2}
    assert newer(None, of(n2=2)) == of(n2=2)
    look = Wakeup(topic="fleet", key="telemetry")
    assert newer(of(n1=1), look) == look and newer(look, of(n1=1)) == of(n1=1)
