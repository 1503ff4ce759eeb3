"""Alerts on the fleet's feed: what is open first, then what changes, and that rules or silences did."""

from __future__ import annotations

import pytest
from django.utils import timezone

from console.realtime.feeds import FleetFeed
from console.realtime.publish import wakeups
from hardware.events import Change
from hardware.inventory.models import Credential, Machine
from hardware.telemetry.alerts.models import Alert, Rule
from hardware.telemetry.alerts.opening import end, open_alert

pytestmark = pytest.mark.django_db


def frames(said: list[dict]) -> list[tuple]:
    return [(one["alert"], one["machine"], one["state"], one["acknowledged"]) for one in said if one["type"] == "alert"]


def test_an_alert_is_told_when_it_opens_is_acknowledged_and_ends_and_not_again():
    machine = Machine.objects.create(name="n1", host="h", credential=Credential.objects.create(name="lab"))
    now, feed = timezone.now(), FleetFeed()
    assert frames(feed.everything()) == []
    alert = open_alert(Rule.objects.get(slug="clock-skew").pk, machine.pk, "", now, now, {})
    assert frames(feed.named([], [], [alert.pk])) == [(alert.pk, "n1", "open", False)]
    assert frames(feed.everything()) == []
    Alert.objects.update(acknowledged_by="ada", acknowledged_at=now)
    assert frames(feed.everything()) == [(alert.pk, "n1", "open", True)]
    end(Alert.objects.all(), "cleared", now)
    # A wake-up that was lost: the next look at everything finds that it has ended.
    assert frames(feed.everything()) == [(alert.pk, "n1", "ended", True)]
    assert frames(feed.everything()) == []


def test_other_rules_or_silences_are_told_of_as_alert_nought():
    (woken,) = wakeups(Change("fleet", "alert", {"alert": 0}))
    assert woken["key"] == "alert:0"
    assert frames(FleetFeed().named([], [], [0])) == [(0, "", "", False)]
