from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import httpx
import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from rest_framework.authtoken.models import Token

from jobs.models import Job
from jobs.schedules import firing
from jobs.schedules.models import Schedule
from tests.worker import work

BODY = {
    "name": "nightly", "kind": "command", "params": {"command": "true"}, "targets": {"machines": ["host-1"]},
    "mode": "cron", "cron": "30 2 * * *", "zone": "Europe/Berlin",
}  # fmt: skip


@pytest.fixture
def client(live_server, machine) -> Iterator[httpx.Client]:
    token = Token.objects.create(user=User.objects.create_user("robot"))
    headers = {"Authorization": f"Token {token.key}"}
    with httpx.Client(base_url=f"{live_server.url}/api/v1", headers=headers, timeout=30) as made:
        yield made


def test_a_schedule_is_made_once_and_shows_its_next_times(client: httpx.Client):
    first, again = (client.post("/schedules/", json=BODY, headers={"Idempotency-Key": "k"}) for _ in range(2))
    assert first.status_code == 201 and first.json() == again.json() and Schedule.objects.count() == 1
    made = first.json()
    assert (made["owner"], made["enabled"], made["overlap"], made["catch_up_s"]) == ("robot", True, "skip", 3600)
    times = [datetime.fromisoformat(moment) for moment in made["next_times"]]
    assert len(times) == 5 and made["next_at"] == made["next_times"][0] and times == sorted(times)
    assert made["options"]["priority"] == 50 and made["targets"] == {"machines": ["host-1"]}


def test_it_is_changed_for_the_version_that_was_read_or_not_at_all(client: httpx.Client):
    pk = client.post("/schedules/", json=BODY).json()["id"]
    change = {"cron": "0 3 * * *", "params": {"command": "false"}, "options": {"priority": 80}}
    assert client.patch(f"/schedules/{pk}/", json=change).status_code == 428
    read = client.get(f"/schedules/{pk}/")
    changed = client.patch(f"/schedules/{pk}/", json=change, headers={"If-Match": read.headers["ETag"]})
    assert changed.status_code == 200, changed.text
    now = changed.json()
    assert (now["params"], now["options"]["priority"], now["cron"]) == ({"command": "false"}, 80, "0 3 * * *")
    # What was not named stays.
    assert (now["targets"], now["zone"], now["kind"]) == ({"machines": ["host-1"]}, "Europe/Berlin", "command")
    stale = client.patch(f"/schedules/{pk}/", json={"enabled": False}, headers={"If-Match": read.headers["ETag"]})
    assert (stale.status_code, stale.json()["code"]) == (412, "version-changed")
    off = client.patch(f"/schedules/{pk}/", json={"enabled": False}, headers={"If-Match": changed.headers["ETag"]})
    assert (off.json()["enabled"], off.json()["next_at"], off.json()["next_times"]) == (False, None, [])


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"cron": "61 * * * *"}, "cron"),
        ({"zone": "Mars/Olympus"}, "zone"),
        ({"params": {}}, "command"),
        ({"targets": {"machines": ["host-9"]}}, "targets"),
        ({"mode": "once", "cron": "", "at": "2020-01-01T00:00:00Z"}, "at"),
        ({"mode": "every", "cron": "", "seconds": 5, "at": "2030-01-01T00:00:00Z"}, "seconds"),
    ],
)
def test_what_makes_no_sense_is_a_problem_with_its_field_and_mend(client: httpx.Client, wrong: dict, field: str):
    answer = client.post("/schedules/", json={**BODY, **wrong})
    assert answer.status_code == 422, answer.text
    assert answer.json()["field"] == field and answer.json()["mend"] and not Schedule.objects.exists()


def test_it_is_run_now_once_for_a_key_and_its_fires_are_read(client: httpx.Client):
    pk = client.post("/schedules/", json=BODY).json()["id"]
    first, again = (client.post(f"/schedules/{pk}/run-now/", headers={"Idempotency-Key": "n"}) for _ in range(2))
    assert first.status_code == 201 and first.json() == again.json() and Job.objects.count() == 1
    assert (first.json()["by"], first.json()["outcome"]) == ("robot", "launched")
    refused = client.post(f"/schedules/{pk}/run-now/")
    assert (refused.status_code, refused.json()["code"]) == (422, "not-ended")
    work(Job.objects.get())
    Schedule.objects.update(next_at=timezone.now() - timedelta(seconds=1))
    firing.sweep()
    fires = client.get(f"/schedules/{pk}/fires/").json()["results"]
    assert [fire["outcome"] for fire in fires] == ["launched", "launched"] and fires[1]["job"] == first.json()["job"]
    assert client.delete(f"/schedules/{pk}/").status_code == 204 and Job.objects.count() == 2
    actions = {event["action"] for event in client.get("/audit/").json()["results"]}
    assert {"schedule.create", "schedule.fire", "schedule.delete"} <= actions


def test_lists_are_filtered(client: httpx.Client, hourly: Callable[..., Schedule]):
    client.post("/schedules/", json=BODY)
    hourly(name="other", enabled=False)
    found = client.get("/schedules/", params={"enabled": "true"}).json()["results"]
    assert [schedule["name"] for schedule in found] == ["nightly"]
    assert [s["name"] for s in client.get("/schedules/", params={"owner": "ada"}).json()["results"]] == ["other"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"at": "2040-01-01T00:00:00Z"},
        {"seconds": 600},
        {"mode": "once", "at": "2040-01-01T00:00:00Z"},
        {"mode": "every", "at": "2040-01-01T00:00:00Z", "seconds": 600},
        {"mode": "once", "at": "2040-01-01T00:00:00Z", "cron": "", "seconds": 600},
        {"params": {"command": "true", "timeout_s": None}},
        {"targets": {"site": "east", "labels": []}},
        {"targets": {"labels": []}},
        {"mode": "every", "cron": "", "at": "9999-12-31T23:59:59Z", "seconds": 10**30},
        {"mode": "every", "cron": "", "at": "0001-01-01T00:00:00", "seconds": 600, "zone": "Asia/Shanghai"},
    ],
)
def test_what_it_would_not_go_by_is_refused(client: httpx.Client, wrong: dict):
    answer = client.post("/schedules/", json={**BODY, **wrong})
    assert answer.status_code in (400, 422) and not Schedule.objects.exists(), answer.text


def test_a_time_of_another_mode_does_not_look_as_if_it_were_set(client: httpx.Client):
    every = {**BODY, "mode": "every", "at": "2040-01-01T00:00:00Z", "seconds": 3600, "cron": ""}
    pk = client.post("/schedules/", json=every).json()["id"]
    read = client.get(f"/schedules/{pk}/")
    match = {"If-Match": read.headers["ETag"]}
    answer = client.patch(f"/schedules/{pk}/", json={"cron": "0 4 * * *"}, headers=match)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["cron"])
    # Read, changed and sent back whole: what stands there already may come along.
    whole = {**read.json(), "mode": "cron", "cron": "0 4 * * *"}
    answer = client.patch(f"/schedules/{pk}/", json=whole, headers=match)
    assert (answer.status_code, answer.json()["mode"]) == (200, "cron"), answer.text


def test_a_time_without_an_offset_is_one_of_the_zone_beside_it(client: httpx.Client):
    body = {**BODY, "mode": "once", "at": "2040-12-01T02:00:00", "zone": "Asia/Shanghai"}
    del body["cron"]
    made = client.post("/schedules/", json=body).json()
    assert made["next_at"] == "2040-11-30T18:00:00Z"
    named = client.post("/schedules/", json={**body, "name": "b", "at": "2040-12-01T02:00:00+01:00"}).json()
    assert named["next_at"] == "2040-12-01T01:00:00Z"


def test_a_time_at_the_calendars_end_keeps_no_list_from_being_read(client: httpx.Client):
    body = {**BODY, "mode": "every", "at": "9999-12-31T00:00:00Z", "seconds": 80_000}
    del body["cron"]
    made = client.post("/schedules/", json=body)
    assert made.status_code == 201 and len(made.json()["next_times"]) == 2
    assert client.get("/schedules/").status_code == 200


def test_run_now_at_the_same_moment_launches_one_job(client: httpx.Client):
    pk = client.post("/schedules/", json=BODY).json()["id"]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _n: client.post(f"/schedules/{pk}/run-now/"), range(6)))
    assert sorted(answer.status_code for answer in answers) == [201, *[422] * 5]
    assert Job.objects.count() == 1
