"""What the collector's periods become in the database."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from console.audit.models import AuditEvent
from hardware.telemetry import alerts
from hardware.telemetry.alerts.builtin import BUILTIN, ensure
from hardware.telemetry.alerts.evaluation import end_retired, judged, rules_on, store
from hardware.telemetry.alerts.judging import Opened
from hardware.telemetry.alerts.models import Alert, Memory, Rule
from tests.hardware.telemetry.alerts.made import START, machine, period, rule

pytestmark = pytest.mark.django_db
HOT = {"0-0": {"temp_c": 91}}
COOL = {"0-0": {"temp_c": 50}}


def turn(*periods: Any) -> None:
    """What one collector does with periods; a fresh one each time, with nothing in its head."""
    by_machine: dict[int, list[Any]] = {}
    for one in periods:
        by_machine.setdefault(one.machine_id, []).append(one)
    store(judged(rules_on(), by_machine))


@pytest.fixture
def only_hot() -> Rule:
    Rule.objects.all().delete()
    made = rule(for_s=180, clear_for_s=120)
    made.save()
    return made


def test_what_is_pending_survives_the_collector(only_hot):
    there = machine()
    for minute in range(2):
        turn(period(minute, HOT, machine=there))
    assert not Alert.objects.exists()
    turn(period(2, HOT, machine=there))
    (alert,) = Alert.objects.all()
    assert (alert.npu, alert.state, alert.since, alert.values) == ("0-0", "open", START, {"temp_c": 91.0})
    assert not Memory.objects.get().pending


def test_what_becomes_well_survives_the_collector_and_ends_once(only_hot):
    there = machine()
    turn(*(period(minute, HOT, machine=there) for minute in range(3)))
    turn(period(3, COOL, machine=there))
    assert Alert.objects.get().clearing_since is not None
    turn(period(4, COOL, machine=there))
    turn(period(5, COOL, machine=there))
    alert = Alert.objects.get()
    assert (alert.state, alert.why_ended) == ("ended", "cleared")
    told = AuditEvent.objects.filter(target="machine:n1-01").order_by("id").values_list("action", flat=True)
    assert list(told) == ["alert.opened", "alert.ended"]


def test_a_period_that_is_judged_again_after_a_takeover_changes_nothing():
    Rule.objects.all().delete()
    grown = {"metric": "ecc_errors", "stat": "max", "op": "rises", "value": 1}
    rule("ecc", grown).save()
    there = machine()
    errors = [(0, 0), (0, 7000), (7000, 7000), (0, 7000), (0, 0)]
    minutes = [period(at, {"0-0": {"ecc_errors": count}}, machine=there) for at, count in enumerate(errors)]
    for minute in minutes[:3]:
        turn(minute)
    assert list(Alert.objects.values_list("state", "values")) == [("ended", {"ecc_errors": 7000.0})]
    # A driver that starts anew counts from nothing; its minute comes a second time, and older ones late.
    turn(minutes[3])
    turn(minutes[3])
    turn(*minutes[1:3])
    turn(minutes[4])
    assert Alert.objects.count() == 1
    turn(period(5, {"0-0": {"ecc_errors": 3}}, machine=there))
    assert list(Alert.objects.filter(state="open").values_list("values", flat=True)) == [{"ecc_errors": 3.0}]


def test_a_minute_that_an_alert_grew_in_does_not_end_it_when_it_is_judged_again():
    Rule.objects.all().delete()
    rule("ecc", {"metric": "ecc_errors", "stat": "max", "op": "rises", "value": 1}).save()
    there = machine()
    minutes = [
        period(at, {"0-0": {"ecc_errors": count}}, machine=there) for at, count in enumerate([(0, 5), (5, 9), (9, 9)])
    ]
    turn(minutes[0])
    turn(minutes[1])
    turn(minutes[1])
    assert list(Alert.objects.values_list("state", flat=True)) == ["open"]
    turn(minutes[2])
    assert list(Alert.objects.values_list("state", flat=True)) == ["ended"]


def test_a_minute_from_before_an_alert_was_opened_does_not_end_it():
    Rule.objects.all().delete()
    rule("hot").save()
    there = machine()
    turn(period(9, HOT, machine=there))
    turn(period(3, COOL, machine=there))
    assert Alert.objects.get().state == "open"
    turn(period(10, COOL, machine=there))
    assert Alert.objects.get().state == "ended"


def test_two_collectors_that_judge_the_same_period_open_one_alert(only_hot):
    there = machine()
    turn(*(period(minute, HOT, machine=there) for minute in range(2)))
    first, second = (judged(rules_on(), {there.pk: [period(2, HOT, machine=there)]}) for _ in range(2))
    assert any(isinstance(event, Opened) for _machine, event in second.events)
    store(first)
    store(second)
    assert Alert.objects.count() == 1
    assert AuditEvent.objects.filter(action="alert.opened").count() == 1


def test_what_was_pending_by_an_older_version_of_a_rule_does_not_count(only_hot):
    there = machine()
    turn(*(period(minute, HOT, machine=there) for minute in range(2)))
    only_hot.version += 1
    only_hot.save()
    turn(period(2, HOT, machine=there))
    assert not Alert.objects.exists()
    assert list(Memory.objects.get().pending) == [f"{only_hot.pk}.2|0-0"]


def test_nothing_is_opened_on_a_retired_machine_and_what_is_open_ends(only_hot):
    there = machine()
    turn(*(period(minute, HOT, machine=there) for minute in range(3)))
    there.state = "retired"
    there.save()
    end_retired()
    assert list(Alert.objects.values_list("state", "why_ended")) == [("ended", "retired")]
    assert not Memory.objects.exists()
    turn(*(period(minute, HOT, machine=there) for minute in range(3, 6)))
    assert Alert.objects.count() == 1


def test_a_rule_that_is_off_finds_nothing_and_one_that_makes_no_sense_stops_no_other(only_hot, caplog):
    Rule.objects.create(slug="broken", title="b", conditions=[{"metric": "gone", "op": ">", "value": 1}])
    Rule.objects.create(slug="off", title="o", conditions=only_hot.conditions, enabled=False)
    there = machine()
    turn(*(period(minute, HOT, machine=there) for minute in range(3)))
    assert list(Alert.objects.values_list("rule__slug", flat=True)) == ["hot"]
    assert "rule broken can't be judged by" in caplog.text


def test_listeners_hear_after_the_commit_and_one_that_fails_stops_nothing(
    only_hot, django_capture_on_commit_callbacks, monkeypatch
):
    heard: list[tuple[str, str]] = []

    def breaks(what: str, alert: Alert) -> None:
        raise RuntimeError("away")

    monkeypatch.setattr(alerts, "listeners", [breaks, lambda what, alert: heard.append((what, str(alert)))])
    there = machine()
    with django_capture_on_commit_callbacks() as callbacks:
        turn(*(period(minute, HOT, machine=there) for minute in range(3)))
    assert heard == []
    for callback in callbacks:
        callback()
    assert heard == [("opened", "hot on n1-01 NPU 0-0")]


def test_every_built_in_rule_is_there_and_can_be_judged_by():
    assert set(Rule.objects.filter(builtin=True).values_list("slug", flat=True)) == set(BUILTIN)
    assert len(rules_on()) == len(BUILTIN)


def test_a_newer_console_changes_built_in_rules_that_nobody_edited():
    Rule.objects.filter(slug="npu-health").update(for_s=7)
    Rule.objects.filter(slug="chip-lost").update(for_s=7, edited=True)
    ensure()
    assert Rule.objects.get(slug="npu-health").for_s == BUILTIN["npu-health"]["for_s"]
    assert Rule.objects.get(slug="chip-lost").for_s == 7


@pytest.mark.django_db(transaction=True)
def test_the_collector_hands_its_periods_over_and_alerts_come_of_them():
    there = machine()
    ill = {"0-0": {"health": 2}, "1-0": {"health": 0}}
    asyncio.run(alerts.evaluate([period(minute, ill, machine=there) for minute in range(2)]))
    alert = Alert.objects.select_related("rule").get()
    assert (alert.rule.slug, alert.npu, alert.values["health"]) == ("npu-health", "0-0", 2.0)
