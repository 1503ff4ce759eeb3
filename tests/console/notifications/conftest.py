from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from hardware.inventory.models import Credential, Machine
from hardware.telemetry.alerts.models import Alert, Rule
from hardware.telemetry.alerts.news import tell
from tests.console.notifications.receivers import Relay, Web


@pytest.fixture
def web() -> Iterator[Web]:
    made = Web()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def relay(monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    made = Relay()
    monkeypatch.setattr(settings, "EMAIL_HOST", "127.0.0.1")
    monkeypatch.setattr(settings, "EMAIL_PORT", made.port)
    yield made
    made.controller.stop()


@pytest.fixture
def hot(transactional_db: None) -> Machine:
    return machine("n1-01")


def machine(name: str, **fields: Any) -> Machine:
    credential, _ = Credential.objects.get_or_create(name="lab", defaults={"password": "x"})
    return Machine.objects.create(
        name=name, host="127.0.0.1", credential=credential, site="north", labels=["rack-7"], **fields
    )


def open_alert(on: Machine, severity: str = "warning") -> Alert:
    """As judging opens one: the row, and the news of it."""
    rule, _ = Rule.objects.get_or_create(
        slug=f"too-hot-{severity}",
        defaults={"title": "An NPU is hot", "severity": severity, "conditions": [], "cause": "A fan stands still."},
    )
    with transaction.atomic():
        made = Alert.objects.create(rule=rule, machine=on, npu="0-0", since=timezone.now(), values={"temp_c": 97})
        tell("opened", made)
    return made
