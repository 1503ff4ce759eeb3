"""What a rule would have found, from rollups that are stored."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from rest_framework.test import APIClient

from hardware.telemetry.alerts import tryout
from hardware.telemetry.alerts.models import Alert, Software
from tests.hardware.telemetry.alerts.made import START, machine, period, rule

pytestmark = pytest.mark.django_db


@pytest.fixture
def stored(monkeypatch):
    """Two machines' minutes, as ``rollups.read`` gives them: one was hot twice and is at the end, one never."""
    hot, cool = machine("n1-01"), machine("n1-02")
    temperatures = [90, 90, 60, 60, 85, 85]
    periods = [period(minute, {"0-0": {"temp_c": t}}, machine=hot) for minute, t in enumerate(temperatures)]
    periods += [period(minute, {"0-0": {"temp_c": 50}}, machine=cool) for minute in range(6)]
    monkeypatch.setattr(tryout, "read", lambda machines, since, until, step: periods)


def test_it_says_how_often_on_which_machines_and_keeps_nothing(stored):
    found = tryout.try_out(rule(for_s=120, clear_for_s=60), until=START + timedelta(minutes=6))
    assert (found.fired, found.total, found.now) == ([("n1-01", 2)], 2, 1)
    assert (found.machines, found.periods) == (2, 12)
    assert not Alert.objects.exists()


def test_over_rest_a_rule_is_tried_before_it_is_made_and_its_faults_are_named(stored):
    client = APIClient()
    client.force_authenticate(User.objects.create_user("ada"))
    body = {
        "scope": "npu", "conditions": [{"metric": "temp_c", "stat": "max", "op": ">", "value": 80}], "hours": 1,
    }  # fmt: skip
    found = client.post("/api/v1/rules/try-out/", body, format="json").json()
    assert (found["total"], found["fired"]) == (2, [{"machine": "n1-01", "alerts": 2}])
    body["conditions"][0]["value"] = 999
    answer = client.post("/api/v1/rules/try-out/", body, format="json")
    assert answer.status_code == 400 and "conditions.0.value" in answer.json()["errors"]


def test_what_rollups_hold_is_read_and_judged():
    machine("n1-01")
    found = tryout.try_out(rule(), hours=1, until=timezone.now())
    assert (found.total, found.machines) == (0, 0)


def test_a_rule_that_rests_on_facts_is_tried_on_those_that_are_stored_now():
    for number, driver in enumerate(("24.1.0", "24.1.0", "23.0.6"), 1):
        there = machine(f"n1-0{number}", site="lab")
        Software.objects.create(machine=there, chip="910", parts={"driver": driver})
    found = tryout.try_out(rule("versions", {"metric": "version_conflicts", "op": ">", "value": 0}, scope="machine"))
    assert (found.fired, found.now, found.machines) == ([("n1-03", 1)], 1, 3)
    assert not Alert.objects.exists()
