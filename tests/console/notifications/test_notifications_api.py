from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from console.audit.models import AuditEvent
from console.notifications.delivering import PAUSES, deliver_due
from console.notifications.models import Delivery, Destination
from tests.console.notifications.conftest import open_alert


@pytest.fixture
def api(transactional_db) -> APIClient:
    made = APIClient()
    made.force_authenticate(User.objects.create_user("ada"))
    return made


def test_a_destination_is_made_tried_changed_and_removed(api, web):
    asked = {"name": "pager", "kind": "webhook", "address": web.url, "critical_only": True}
    made = api.post("/api/v1/destinations/", asked, format="json", HTTP_IDEMPOTENCY_KEY="one")
    assert made.status_code == 201 and "secret" not in made.json()
    again = api.post("/api/v1/destinations/", asked, format="json", HTTP_IDEMPOTENCY_KEY="one")
    assert again.json() == made.json() and Destination.objects.count() == 1
    at = f"/api/v1/destinations/{made.json()['id']}/"
    secret = api.post(f"{at}rotate/").json()["secret"]
    assert secret.startswith("whsec_") and secret not in api.get(at).content.decode()
    assert api.post(f"{at}test/").status_code == 202
    assert deliver_due() == 1 and web.taken[0].body["title"] == "A test, sent by ada"
    tag = api.get(at)["ETag"]
    assert api.patch(at, {"site": "north"}, format="json").status_code == 428
    assert api.patch(at, {"site": "north"}, format="json", HTTP_IF_MATCH=tag).json()["site"] == "north"
    assert api.delete(at).status_code == 204
    said = AuditEvent.objects.filter(target="destination:pager")
    assert {one.action for one in said} >= {"destination.create", "destination.rotate", "destination.delete"}
    assert not any("hidden" in str(one.detail) or secret in str(one.detail) for one in said)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"address": "ftp://x"}, "address"),
        ({"address": "https://"}, "address"),
        ({"kind": "mail", "address": "ops@bank.example"}, "address"),
        ({"events": []}, "events"),
        ({"events": ["job.ended"]}, "events"),
        ({"kind": "pigeon"}, "kind"),
    ],
)
def test_what_can_not_work_is_refused_by_its_field(api, wrong, field):
    asked = {"name": "pager", "kind": "webhook", "address": "https://pager.example/", **wrong}
    answer = api.post("/api/v1/destinations/", asked, format="json")
    assert answer.status_code == 400 and field in answer.json()["errors"] and not Destination.objects.exists()


def test_dead_letters_are_listed_sent_again_and_dropped(api, web, hot):
    web.answers = [500] * 99
    api.post("/api/v1/destinations/", {"name": "pager", "kind": "webhook", "address": web.url}, format="json")
    open_alert(hot)
    Delivery.objects.update(attempts=len(PAUSES))
    deliver_due()
    [dead] = api.get("/api/v1/deliveries/?state=dead").json()["results"]
    at = f"/api/v1/deliveries/{dead['id']}/"
    assert dead["error"] == "It answered 500." and api.post(f"{at}again/").json()["state"] == "pending"
    assert api.post(f"{at}drop/").status_code == 409
    Delivery.objects.update(attempts=len(PAUSES))
    deliver_due()
    assert api.post(f"{at}drop/").status_code == 204 and not Delivery.objects.exists()


def test_the_page_tells_a_secret_once_and_shows_what_was_not_delivered_with_its_two_ways_out(web, hot):
    visitor = Client()
    visitor.force_login(User.objects.create_user("ada"))
    form = {"do": "save", "name": "pager", "kind": "webhook", "address": web.url, "events": ["alert.opened"]}
    refused = visitor.post("/notifications/", {**form, "address": "nowhere"})
    assert refused.status_code == 422 and "Give a URL" in refused.content.decode()
    made = visitor.post("/notifications/", {**form, "enabled": "on"})
    secret = Destination.objects.get().secret
    assert secret in made.content.decode() and made["Cache-Control"] == "no-store"
    web.answers = [500]
    open_alert(hot)
    Delivery.objects.update(attempts=len(PAUSES))
    deliver_due()
    page = visitor.get("/notifications/").content.decode()
    assert secret not in page and "It answered 500." in page and 'value="again"' in page and 'value="drop"' in page
    overview = visitor.get("/").content.decode()
    assert "1 notification was not delivered" in overview and 'href="/notifications/"' in overview
    visitor.post("/notifications/", {"do": "again", "delivery": Delivery.objects.get().pk})
    assert deliver_due() == 1 and "n1-01 NPU 0-0: An NPU is hot" in visitor.get("/notifications/").content.decode()
