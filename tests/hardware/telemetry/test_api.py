from __future__ import annotations

import asyncio
import time

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from hardware.inventory.models import Credential, Machine
from hardware.telemetry.recorder import Recorder
from hardware.telemetry.samples import FIELDS, Sample, latest
from tests.redis_server import Redis

ADDRESS = "/api/v1/machines/n1/telemetry/"
CHIP = {**dict.fromkeys(FIELDS), "npu_id": 3, "chip_id": 0, "temp_c": 41.0, "health": "OK"}


@pytest.fixture
def api(transactional_db) -> APIClient:
    credential = Credential.objects.create(name="lab", password="secret")
    Machine.objects.create(name="n1", host="127.0.0.1", port=1, credential=credential, simulated=True)
    client = APIClient()
    client.force_authenticate(User.objects.create_user("ada"))
    return client


def record(*samples: Sample) -> None:
    async def go() -> None:
        recorder = Recorder(interval=600)
        assert await recorder.record(samples, 1)
        await recorder.close()

    asyncio.run(go())


def test_samples_come_newest_last_with_what_the_tool_did_not_say_as_null(api: APIClient, redis_server: Redis):
    now = time.time()
    record(Sample("n1", now - 10, chips=[CHIP]), Sample("n1", now, chips=[{**CHIP, "temp_c": 42.0}]))
    body = api.get(ADDRESS).json()
    assert (body["machine"], body["simulated"], body["interval_s"], body["state"]) == ("n1", True, 600, "ok")
    assert [sample["chips"][0]["temp_c"] for sample in body["samples"]] == [41.0, 42.0]
    assert body["samples"][0]["chips"][0] == CHIP and body["samples"][0]["at"] < body["samples"][1]["at"]


def test_not_many_more_are_kept_than_an_hour_holds(api: APIClient, redis_server: Redis):
    # Six in an hour, at this interval; Redis trims a stream by blocks of a hundred.
    record(*(Sample("n1", time.time(), chips=[CHIP]) for _ in range(500)))
    assert 6 <= len(api.get(ADDRESS).json()["samples"]) <= 106


def test_a_machine_that_was_never_sampled_has_no_samples(api: APIClient, redis_server: Redis):
    body = api.get(ADDRESS).json()
    assert (body["samples"], body["state"], body["interval_s"]) == ([], "none", None)
    assert latest(["n1", "n2"]) == {} and latest([]) == {}


def test_a_redis_that_is_away_is_said_and_holds_no_page_up(api: APIClient):
    began = time.monotonic()
    answer = api.get(ADDRESS)
    assert answer.status_code == 503 and answer["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "telemetry-away" and "Redis" in answer.json()["title"]
    assert latest(["n1"]) == {}
    assert time.monotonic() - began < 2


def test_a_window_that_makes_no_sense_and_a_machine_that_is_not_there_are_refused(api: APIClient):
    assert api.get(ADDRESS, {"minutes": "0"}).status_code == 400
    assert api.get(ADDRESS, {"minutes": "61"}).json()["code"] == "invalid"
    assert api.get("/api/v1/machines/n9/telemetry/").status_code == 404


def test_who_is_not_logged_in_gets_nothing(api: APIClient):
    assert APIClient().get(ADDRESS).status_code == 401
