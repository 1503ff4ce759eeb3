from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from rest_framework.authtoken.models import Token

from hardware.inventory.models import Machine
from jobs.admission.models import Limit, Urgency, Window
from jobs.engine.leases import claim
from jobs.models import Job
from jobs.services import launch
from tests.console.pages import Page, sign_in

WINDOW = {
    "do": "add", "kind": "open", "name": "nights", "weekdays": ["4", "5"], "begins": "22:00", "ends": "04:00",
    "zone": "Asia/Shanghai", "site": "", "label": "",
}  # fmt: skip


@pytest.fixture
def site(live_server, machine: Machine, settings, tmp_path: Path) -> Iterator[httpx.Client]:
    settings.DEPOT_DIR = tmp_path / "depot"
    made = sign_in(live_server.url, User.objects.create_user("ada"))
    yield made
    made.close()


@pytest.fixture
def client(site: httpx.Client, live_server) -> Iterator[httpx.Client]:
    token = Token.objects.create(user=User.objects.create_user("robot"))
    headers = {"Authorization": f"Token {token.key}"}
    with httpx.Client(base_url=f"{live_server.url}/api/v1", headers=headers, timeout=30) as made:
        yield made


def frozen(job_of: list[Machine]) -> Job:
    """A job that waits for the end of a freeze."""
    now = timezone.now()
    Window.objects.create(
        kind="freeze", name="festival", starts_at=now - timedelta(hours=1), stops_at=now + timedelta(hours=5),
        created_by="ada",
    )  # fmt: skip
    job = launch("command", {"command": "true"}, job_of, actor="ada")
    assert claim(job.pk, "w") is None
    return job


def test_a_window_is_added_shown_and_removed(site: httpx.Client):
    assert "No windows" in Page(site.get("/windows/")).text
    assert site.post("/windows/", data=WINDOW).status_code == 302
    page = Page(site.get("/windows/"))
    assert "Fri, Sat 22:00 to 04:00 Asia/Shanghai" in page.text
    wrong = Page(site.post("/windows/", data={**WINDOW, "name": "x", "weekdays": []}))
    assert wrong.status == 422 and wrong.error("w-days") == "The window is on no day. Choose days of the week."
    freeze = {
        **WINDOW,
        "kind": "freeze",
        "name": "festival",
        "starts_at": "2020-01-01T00:00",
        "stops_at": "2040-01-01T00:00",
    }
    assert site.post("/windows/", data=freeze).status_code == 302
    page = Page(site.get("/windows/"))
    assert "2020-01-01 00:00 to 2040-01-01 00:00" in page.text and "Frozen" in page.text
    assert "Machines that are open now 0 of 1 " in page.text
    for window in Window.objects.all():
        site.post("/windows/", data={"do": "remove", "window": window.pk})
    assert "Machines that are open now 1 of 1 " in Page(site.get("/windows/")).text


def test_a_limit_is_set_shown_with_what_is_under_way_and_removed(site: httpx.Client, machine: Machine):
    Machine.objects.update(site="hall-1")
    given = {"do": "add", "kind": "", "site": "hall-1", "jobs": "3", "machines": ""}
    assert site.post("/limits/", data=given).status_code == 302
    assert claim(launch("command", {"command": "true"}, [machine], actor="ada").pk, "w") is not None
    page = Page(site.get("/limits/"))
    assert "any kind hall-1 1 of 3 1 (no limit) Remove" in page.text
    again = Page(site.post("/limits/", data=given))
    assert again.status == 422 and "already" in again.error("l-kind")
    assert "limits nothing" in Page(site.post("/limits/", data={**given, "jobs": ""})).error("l-jobs")
    site.post("/limits/", data={"do": "remove", "limit": Limit.objects.get().pk})
    assert "No limits" in Page(site.get("/limits/")).text


def test_who_can_not_wait_for_a_window_says_why(site: httpx.Client, machine: Machine):
    job = frozen([machine])
    page = Page(site.get(f"/jobs/{job.pk}/urgent/"))
    assert "Jobs may not begin on host-1 now (festival)." in page.text
    unsaid = Page(site.post(f"/jobs/{job.pk}/urgent/", data={"reason": " "}))
    assert unsaid.status == 422 and unsaid.error("u-reason") == "The reason is missing. Say why it can't wait."
    done = site.post(f"/jobs/{job.pk}/urgent/", data={"reason": "a leak"})
    assert done.headers["location"] == f"/jobs/{job.pk}/" and Urgency.objects.get().reason == "a leak"
    assert claim(job.pk, "w") is not None


def test_a_waiting_job_says_on_its_page_for_what_and_until_when(site: httpx.Client, machine: Machine):
    job = frozen([machine])
    page = Page(site.get(f"/jobs/{job.pk}/"))
    assert "Jobs may not begin on host-1 now (festival)." in page.text
    assert f'href="/jobs/{job.pk}/urgent/"' in page.source
    Window.objects.all().delete()
    Limit.objects.create(kind="command", jobs=1, created_by="ada")
    other = launch("command", {"command": "true"}, [machine], actor="ada")
    assert claim(other.pk, "w") is not None and claim(job.pk, "w") is None
    page = Page(site.get(f"/jobs/{job.pk}/"))
    assert f"Waits for job {other.pk}." in page.text and "1 of 1 of this kind run." in page.text


def test_windows_and_limits_over_rest(client: httpx.Client, machine: Machine):
    body: dict[str, Any] = {
        "kind": "open", "name": "nights", "weekdays": [4], "begins": "22:00", "ends": "04:00", "zone": "UTC",
    }  # fmt: skip
    made = client.post("/windows/", json=body, headers={"Idempotency-Key": "w"})
    assert (
        made.status_code == 201
        and made.json() == client.post("/windows/", json=body, headers={"Idempotency-Key": "w"}).json()
    )
    address = f"/windows/{made.json()['id']}/"
    tag = client.get(address).headers["ETag"]
    assert client.patch(address, json={"ends": "05:00"}).status_code == 428
    changed = client.patch(address, json={"ends": "05:00"}, headers={"If-Match": tag})
    assert changed.json()["ends"] == "05:00:00" and changed.json()["weekdays"] == [4]
    wrong = client.post("/windows/", json={**body, "name": "x", "zone": "Mars"})
    assert (wrong.status_code, wrong.json()["field"]) == (422, "zone")
    assert client.delete(address).status_code == 204
    limit = client.post("/limits/", json={"kind": "command", "jobs": 2})
    assert limit.status_code == 201 and client.post("/limits/", json={"kind": "command", "jobs": 3}).status_code == 422
    job = frozen([machine])
    assert client.post(f"/jobs/{job.pk}/urgent/", json={}).status_code == 400
    assert client.post(f"/jobs/{job.pk}/urgent/", json={"reason": "a leak"}).json()["id"] == job.pk
    actions = {event["action"] for event in client.get("/audit/").json()["results"]}
    assert {"window.create", "window.update", "window.delete", "limit.create", "window.override"} <= actions


OPEN = {"kind": "open", "name": "nights", "weekdays": [0], "begins": "22:00", "ends": "04:00", "zone": "Asia/Shanghai"}
FREEZE = {"kind": "freeze", "name": "feast", "starts_at": "2040-02-01T00:00:00", "stops_at": "2040-02-08T00:00:00"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**OPEN, "starts_at": "2040-02-01T00:00:00Z", "stops_at": "2040-02-08T00:00:00Z"}, "starts_at"),
        ({**FREEZE, "weekdays": [5, 6]}, "weekdays"),
        ({**FREEZE, "begins": "08:00", "ends": "18:00"}, "begins"),
        ({**OPEN, "begins": "22:00+08:00"}, "begins"),
        ({**OPEN, "ends": "04:00Z"}, "ends"),
    ],
)
def test_what_a_window_would_not_go_by_is_refused(client, body, field):
    answer = client.post("/windows/", json=body)
    assert answer.status_code == 400 and field in answer.json()["errors"], answer.text
    assert not Window.objects.exists()


def test_a_freeze_without_an_offset_is_one_of_its_zone(client):
    made = client.post("/windows/", json={**FREEZE, "zone": "Asia/Shanghai"})
    assert made.json()["starts_at"] == "2040-01-31T16:00:00Z", made.text
