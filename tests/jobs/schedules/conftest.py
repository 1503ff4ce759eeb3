from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from hardware.inventory.models import Machine
from jobs.schedules.models import Schedule
from jobs.schedules.services import create, stored


@pytest.fixture
def ada(transactional_db: None) -> User:
    return User.objects.create_user("ada")


@pytest.fixture
def hourly(machine: Machine, ada: User) -> Callable[..., Schedule]:
    """Makes a schedule of the test's command on host-1, every hour unless it is told otherwise."""

    def make(**fields: Any) -> Schedule:
        request = {"kind": "command", "params": {"command": "echo on time"}, "targets": {"machines": ["host-1"]}}
        given = {"name": "nightly", "mode": "cron", "cron": "0 * * * *", "zone": "UTC", **fields}
        given["request"] = stored({**request, **given.get("request", {})})
        return create(actor="ada", **given)

    return make
