"""What the server tells of its last seconds."""

from __future__ import annotations

import pytest

from jobs.serving.vitals import Vitals


class Clock:
    def __init__(self) -> None:
        self.now = 1000.25

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_waiting_requests_are_a_mean_over_time_and_not_a_moment(clock):
    vitals = Vitals(clock)
    clock.now += 2
    vitals.waits(6)
    clock.now += 1
    vitals.waits(0)
    clock.now += 1
    assert vitals.read(10)["requests_waiting"] == pytest.approx(6 / 4)


def test_times_are_told_with_their_95th_percentile_and_how_much_they_vary(clock):
    vitals = Vitals(clock)
    for number in range(20):
        vitals.answered(0.010 if number % 2 else 0.030)
        clock.now += 0.1
    told = vitals.read(10)
    assert (told["latency_ms"], told["latency_p95_ms"]) == (20, 30)
    # Half of them 10 ms above the mean of 20, half below.
    assert told["latency_spread_percent"] == 50
    assert told["requests_per_s"] == pytest.approx(10)


def test_without_a_request_times_are_absent_and_the_rate_is_zero(clock):
    vitals = Vitals(clock)
    vitals.answered(0.5)
    clock.now += 30
    told = vitals.read(10)
    assert told["requests_per_s"] == 0 and told["requests_waiting"] == 0
    assert not {"latency_ms", "latency_p95_ms", "latency_spread_percent"} & told.keys()


def test_only_the_span_that_is_asked_for_counts(clock):
    vitals = Vitals(clock)
    for _ in range(50):
        vitals.answered(0.1)
        clock.now += 1
    assert vitals.read(5)["requests_per_s"] == pytest.approx(1, rel=0.1)
    vitals.answered(0.9)
    assert vitals.read(1)["latency_p95_ms"] == 900 and vitals.read(60)["latency_ms"] < 130
