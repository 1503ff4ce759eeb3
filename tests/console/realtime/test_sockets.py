from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from importlib import import_module

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import transaction

from console.realtime import consumers, publish
from console.realtime.feeds import FleetFeed, JobFeed
from console.realtime.messages import Wakeup
from hardware.events import announce
from hardware.inventory.models import Machine
from jobs.engine import checkpoints
from jobs.models import JobStep
from jobs.states import JobState
from tests.console.realtime.conftest import Web, Written, close_code, start_web
from tests.redis_server import Redis

CHIP = {
    "npu_id": 0, "chip_id": 0, "aicore_percent": 7.0, "temp_c": 40.0, "power_w": 70.0, "hbm_used_mb": 1,
    "hbm_total_mb": 32768, "health": "OK",
}  # fmt: skip


def frames(link, kind: str, seconds: float = 5) -> list[dict]:
    """The frames of that kind in the next message that has any."""
    deadline = time.monotonic() + seconds
    while True:
        found = [one for one in json.loads(link.recv(timeout=deadline - time.monotonic())) if one["type"] == kind]
        if found:
            return found


def announce_sample(machine: str, percent: float) -> str:
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    chips = [{**CHIP, "aicore_percent": percent}]
    announce(f"telemetry:{machine}", "samples", at=at, state="ok", chips=chips, said="", interval_s=2)
    return at


def test_a_sample_reaches_the_page_of_its_machine_at_once_and_no_other(web: Web, written: Written):
    with web.open("/ws/machines/host-1/telemetry") as link:
        time.sleep(0.3)
        announce_sample("host-2", 99)
        began = time.monotonic()
        at = announce_sample("host-1", 42)
        [frame] = frames(link, "samples")
        assert time.monotonic() - began < 0.5
        assert (frame["at"], frame["state"]) == (at, "ok")
        assert frame["chips"] == [{**CHIP, "aicore_percent": 42}]


def test_the_fleet_is_told_whole_at_first_then_what_changes(web: Web, written: Written):
    with web.open("/ws/fleet") as link:
        first = json.loads(link.recv(timeout=5))
        assert {"type": "machine", "machine": "host-1", "state": "ready", "simulated": False, "trouble": {}} in first
        assert {"type": "job", "job": written.job.pk, "kind": "command", "state": "running"} in first
        time.sleep(0.3)
        began = time.monotonic()
        checkpoints.end(written.lease, JobState.SUCCEEDED)
        assert frames(link, "job")[0] == {
            "type": "job", "job": written.job.pk, "kind": "command", "state": "succeeded",
        }  # fmt: skip
        Machine.objects.filter(name="host-1").update(state=Machine.State.SILENT, trouble={"code": "x"})
        announce("fleet", "machine", machine="host-1", state="silent")
        assert frames(link, "machine")[0]["state"] == "silent"
        announce("fleet", "telemetry", at="now", machines={"host-1": {"state": "ok", "chips": [CHIP]}})
        assert frames(link, "telemetry")[0]["machines"]["host-1"]["chips"] == [CHIP]
        assert time.monotonic() - began < 2


def test_what_a_lost_wake_up_would_have_told_is_found_by_looking(written: Written):
    feed = FleetFeed()
    assert len(feed.everything()) == 2 and feed.everything() == []
    Machine.objects.filter(name="host-1").update(state=Machine.State.BLOCKED)
    checkpoints.end(written.lease, JobState.FAILED)
    assert [(one["type"], one["state"]) for one in feed.everything()] == [("machine", "blocked"), ("job", "failed")]
    assert feed.everything() == []


def test_a_change_that_is_rolled_back_is_not_told(written: Written, monkeypatch):
    told: list[Wakeup] = []
    monkeypatch.setattr(publish, "publisher", lambda: type("Taken", (), {"put": staticmethod(told.append)}))
    with pytest.raises(RuntimeError), transaction.atomic():
        announce("fleet", "machine", machine="host-1")
        raise RuntimeError
    assert told == []
    with transaction.atomic():
        announce("fleet", "machine", machine="host-1")
        assert told == []
    assert told == [{"topic": "fleet", "key": "machine:host-1"}]


def test_while_redis_is_away_wake_ups_cost_nothing_and_do_not_pile_up(transactional_db):
    made = publish.Publisher()
    began = time.monotonic()
    for number in range(20_000):
        made.put({"topic": f"job-log:{number}", "key": ""})
    assert time.monotonic() - began < 2
    assert len(made._waiting) <= publish.CAPACITY


def test_who_logs_out_is_told_no_more(redis_server: Redis, written: Written, web: Web):
    # The pace of the check is the server's own; here the feed is asked directly.
    store = import_module(settings.SESSION_ENGINE).SessionStore
    feed = consumers.Fleet({"session": store(web.cookie), "path": "/ws/fleet"}, _nothing)
    asyncio.run(feed._check_login())
    Session.objects.all().delete()
    with pytest.raises(consumers.LoggedOut):
        asyncio.run(feed._check_login())


async def _nothing(message: dict) -> None:
    return None


def test_the_server_ends_soon_with_sockets_open(redis_server: Redis, web: Web, written: Written):
    own = start_web()
    own.cookie = web.cookie
    with own.open("/ws/fleet") as link:
        link.recv(timeout=5)
        began = time.monotonic()
        own.process.terminate()
        own.process.wait(15)
        assert time.monotonic() - began < 10
        with pytest.raises((AssertionError, OSError)):
            close_code(link)


def test_a_step_of_the_console_itself_has_no_machine(written: Written):
    JobStep.objects.filter(pk=written.step.pk).update(machine=None)
    written.step.refresh_from_db()
    written.write(b"converting\n")
    batch = JobFeed(written.job.pk, 0).read()
    told = [one for one in batch.frames if one["type"] == "log" or one.get("step") == written.step.pk]
    assert [(one["type"], one["machine"]) for one in told] == [("step", None), ("log", None)]
