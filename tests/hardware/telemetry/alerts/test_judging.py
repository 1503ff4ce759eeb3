"""Conditions, durations and hysteresis, on periods that are made here."""

from __future__ import annotations

from typing import Any

from hardware.telemetry.alerts.judging import Clearing, Event, Firing, Judged, Opened, Over, Past, judge
from tests.hardware.telemetry.alerts.made import START, period, rule


class Watch:
    """Judges one minute after another as a collector does, and keeps what is open."""

    def __init__(self, made: Any) -> None:
        self.judged = Judged.of(made)
        self.past = Past()
        self.open: dict[tuple[int, str], Firing] = {}

    def see(self, made: Any, **more: Any) -> list[Event]:
        events = judge([self.judged], made, self.past, self.open, **more)
        for event in events:
            if isinstance(event, Opened):
                self.open[(event.rule_id, event.npu)] = Firing(1)
            elif isinstance(event, Over):
                del self.open[(event.rule_id, event.npu)]
            elif isinstance(event, Clearing):
                next(iter(self.open.values())).clearing_since = event.since
        return events

    def temperatures(self, *values: float | None) -> list[str]:
        """What each minute's temperature led to, in one word."""
        said = []
        for minute, value in enumerate(values):
            events = self.see(period(minute, {"0-0": {} if value is None else {"temp_c": value}}))
            said.append(" ".join(type(event).__name__.lower() for event in events))
        return said


def test_a_rule_with_no_duration_fires_with_the_first_period_that_holds():
    watch = Watch(rule())
    (event,) = watch.see(period(0, {"0-0": {"temp_c": 91}, "1-0": {"temp_c": 60}}))
    assert event == Opened(0, "0-0", START.timestamp(), START.timestamp() + 60, {"temp_c": 91.0})


def test_a_rule_fires_once_its_conditions_have_held_for_its_duration():
    assert Watch(rule(for_s=180)).temperatures(90, 90, 90, 90) == ["", "", "opened", ""]


def test_a_duration_begins_anew_when_the_conditions_stop_holding():
    assert Watch(rule(for_s=180)).temperatures(90, 90, 60, 90, 90, 90) == ["", "", "", "", "", "opened"]


def test_a_reading_that_is_missing_proves_nothing_and_breaks_a_duration():
    assert Watch(rule(for_s=120)).temperatures(90, None, 90, 90) == ["", "", "", "opened"]


def test_an_alert_between_threshold_and_clear_value_stays():
    assert Watch(rule()).temperatures(90, 75, 75, 70) == ["opened", "", "", "over"]


def test_an_alert_ends_after_it_has_been_well_for_its_time():
    words = Watch(rule(clear_for_s=120)).temperatures(90, 60, 75, 60, 60)
    assert words == ["opened", "clearing", "clearing", "clearing", "over"]


def test_an_alert_of_which_nothing_is_known_stays():
    assert Watch(rule(clear_for_s=60)).temperatures(90, None, None) == ["opened", "", ""]


def test_all_conditions_must_hold_on_the_same_npu_and_its_machine():
    watch = Watch(
        rule(
            "idle",
            {"metric": "aicore_percent", "stat": "mean", "op": "<", "value": 30, "clear": 40},
            {"metric": "requests_waiting", "stat": "mean", "op": ">", "value": 0},
        )
    )
    npus = {"0-0": {"aicore_percent": 10}, "1-0": {"aicore_percent": 90}}
    assert watch.see(period(0, npus, requests_waiting=0)) == []
    assert watch.see(period(1, npus)) == []
    (event,) = watch.see(period(2, npus, requests_waiting=7))
    assert isinstance(event, Opened) and event.npu == "0-0"
    assert event.values == {"aicore_percent": 10.0, "requests_waiting": 7.0}


def test_a_rule_about_the_machine_looks_at_its_hottest_npu():
    watch = Watch(rule(scope="machine"))
    (event,) = watch.see(period(0, {"0-0": {"temp_c": 60}, "1-0": {"temp_c": 90}}))
    assert isinstance(event, Opened) and (event.npu, event.values) == ("", {"temp_c": 90.0})


def test_a_counter_fires_when_it_rises_and_not_when_it_stands_or_starts_again():
    watch = Watch(rule("ecc", {"metric": "ecc_errors", "op": "rises", "value": 2}, clear_for_s=0))
    words = []
    for minute, value in enumerate([10, 10, 11, 13, 13, 0, 1, 3]):
        events = watch.see(period(minute, {"0-0": {"ecc_errors": value}}))
        words.append(" ".join(type(event).__name__.lower() for event in events))
    assert words == ["", "", "", "opened", "over", "", "", "opened"]


def test_a_counter_that_rose_while_nobody_looked_is_noticed_at_the_first_look():
    watch = Watch(rule("ecc", {"metric": "ecc_errors", "op": "rises", "value": 1}))
    watch.see(period(0, {"0-0": {"ecc_errors": 4}}))
    (event,) = watch.see(period(600, {"0-0": {"ecc_errors": 9}}))
    assert isinstance(event, Opened) and event.values == {"ecc_errors": 5.0}


def counted(watch: Watch, values: Any, **vitals: Any) -> list[tuple[int, str]]:
    """The minutes in which the count of ECC errors led to something, and to what."""
    said = []
    for minute, value in enumerate(values):
        for event in watch.see(period(minute, {"0-0": {"ecc_errors": value}}, **vitals)):
            said.append((minute, type(event).__name__.lower()))
    return said


def test_a_counter_that_rises_slowly_fires_once_it_rose_enough_within_the_rules_duration():
    watch = Watch(rule("ecc", {"metric": "ecc_errors", "op": "rises", "value": 3}, for_s=3600))
    # One more every 20 minutes, and from the 80th minute on none: an hour holds three until that of the 40th is out.
    assert counted(watch, [min(minute // 20, 4) for minute in range(150)]) == [(60, "opened"), (100, "over")]
    slower = Watch(rule("ecc", {"metric": "ecc_errors", "op": "rises", "value": 3}, for_s=3600))
    assert counted(slower, [minute // 31 for minute in range(200)]) == []


def test_what_a_counter_rose_by_survives_a_reset_and_stays_small_however_long_the_duration_is():
    watch = Watch(rule("ecc", {"metric": "ecc_errors", "op": "rises", "value": 700}, for_s=86400))
    assert counted(watch, [*range(0, 400), *range(0, 400)]) == [(701, "opened")]
    (kept,) = watch.past.rises.values()
    assert len(kept) <= 61 and sum(more for _at, more in kept) == 798


def test_beside_a_condition_that_lasts_a_counter_counts_over_the_same_time():
    conditions = (
        {"metric": "temp_c", "stat": "max", "op": ">", "value": 80},
        {"metric": "ecc_errors", "op": "rises", "value": 2},
    )
    watch = Watch(rule("both", *conditions, for_s=300))
    opened = []
    for minute in range(10):
        # It rises in the first minutes only, and is hot from the third on.
        npu = {"temp_c": 90 if minute >= 2 else 60, "ecc_errors": min(minute, 4)}
        opened += [minute for event in watch.see(period(minute, {"0-0": npu})) if isinstance(event, Opened)]
    assert opened == [6]


def test_an_npu_that_leaves_the_bus_is_missing_against_the_most_that_were_seen():
    watch = Watch(rule("lost", {"metric": "npus_missing", "op": ">", "value": 0}, scope="machine"))
    assert watch.see(period(0, npus_on_bus=8, npus_listed=8)) == []
    (event,) = watch.see(period(1, npus_on_bus=7, npus_listed=7))
    assert isinstance(event, Opened) and event.values == {"npus_missing": 1.0}
    (event,) = watch.see(period(2, npus_on_bus=8, npus_listed=8))
    assert isinstance(event, Over)


def test_a_machine_is_silent_by_its_period_or_by_its_state():
    watch = Watch(rule("quiet", {"metric": "silent", "stat": "max", "op": ">", "value": 0}, scope="machine", for_s=120))
    assert watch.see(period(0, state="silent")) == []
    (event,) = watch.see(period(1, state="error"), silent=True)
    assert isinstance(event, Opened) and event.since == START.timestamp()
    (event,) = watch.see(period(2))
    assert isinstance(event, Over)


def test_a_clock_that_is_behind_is_as_far_off_as_one_that_is_ahead():
    watch = Watch(rule("clock", {"metric": "clock_off_s", "op": ">", "value": 5, "clear": 2}, scope="machine"))
    (event,) = watch.see(period(0, clock_skew_s=-9))
    assert isinstance(event, Opened) and event.values == {"clock_off_s": 9.0}


def test_a_duration_bridges_a_missed_period_and_no_longer_gap():
    watch = Watch(rule(for_s=240))
    hot = {"0-0": {"temp_c": 90}}
    assert watch.see(period(0, hot)) == []
    assert len(watch.see(period(3, hot))) == 1
    other = Watch(rule(for_s=240))
    assert other.see(period(0, hot)) == []
    assert other.see(period(10, hot)) == []
