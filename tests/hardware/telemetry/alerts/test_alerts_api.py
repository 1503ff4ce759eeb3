"""Rules, alerts and silences over REST."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from rest_framework.test import APIClient

from console.audit.models import AuditEvent
from hardware.telemetry.alerts.models import Alert, Rule, Silence
from hardware.telemetry.alerts.opening import open_alert
from tests.hardware.telemetry.alerts.made import START, machine

pytestmark = pytest.mark.django_db
HOT = {"metric": "temp_c", "stat": "max", "op": ">", "value": 80, "clear": 70}


@pytest.fixture
def rest() -> APIClient:
    client = APIClient()
    client.force_authenticate(User.objects.create_user("ada"))
    return client


def opened(slug: str, name: str = "n1-01", npu: str = "", values: dict[str, Any] | None = None, **fields: Any) -> Alert:
    alert = open_alert(
        Rule.objects.get(slug=slug).pk,
        machine(name, **fields).pk,
        npu,
        START,
        START + timedelta(minutes=3),
        values or {},
    )
    assert alert is not None
    return alert


def test_a_persons_rule_is_made_changed_with_its_version_and_deleted(rest):
    made = rest.post("/api/v1/rules/", {"title": "Too hot", "conditions": [HOT], "scope": "npu"}, format="json")
    assert made.status_code == 201, made.json()
    assert (made.json()["slug"], made.json()["severity"], made.json()["created_by"]) == ("too-hot", "warning", "ada")
    assert rest.patch("/api/v1/rules/too-hot/", {"for_s": 60}, format="json").status_code == 428
    tag = rest.get("/api/v1/rules/too-hot/")["ETag"]
    changed = rest.patch("/api/v1/rules/too-hot/", {"for_s": 60}, format="json", HTTP_IF_MATCH=tag)
    assert (changed.status_code, changed.json()["for_s"], changed.json()["version"]) == (200, 60, 2)
    assert rest.patch("/api/v1/rules/too-hot/", {"for_s": 90}, format="json", HTTP_IF_MATCH=tag).status_code == 412
    assert rest.delete("/api/v1/rules/too-hot/").status_code == 204
    told = AuditEvent.objects.filter(target="rule:too-hot").order_by("id").values_list("action", "actor")
    assert list(told) == [("rule.create", "ada"), ("rule.update", "ada"), ("rule.delete", "ada")]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"title": " "}, "title"),
        ({"severity": "fatal"}, "severity"),
        ({"for_s": -1}, "for_s"),
        ({"clear_for_s": 10**9}, "clear_for_s"),
        ({"conditions": []}, "conditions"),
        ({"conditions": [HOT | {"metric": "heat"}]}, "conditions.0.metric"),
        ({"conditions": [HOT, HOT | {"op": ">="}]}, "conditions.1.op"),
        ({"conditions": [HOT | {"op": "rises"}]}, "conditions.0.op"),
        ({"conditions": [HOT | {"value": 900}]}, "conditions.0.value"),
        ({"conditions": [HOT | {"value": "80"}]}, "conditions.0.value"),
        ({"conditions": [HOT | {"clear": 90}]}, "conditions.0.clear"),
        ({"conditions": [HOT | {"stat": "median"}]}, "conditions.0.stat"),
        ({"conditions": [HOT | {"colour": 1}]}, "conditions.0"),
        ({"conditions": [{"metric": "silent", "op": ">", "value": 0}]}, "scope"),
        (
            {"scope": "machine", "conditions": [HOT, {"metric": "version_conflicts", "op": ">", "value": 0}]},
            "conditions",
        ),
        ({"remedy": {"params": {}}}, "remedy"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_and_the_field_is_named(rest, wrong, field):
    body = {"slug": "mine", "title": "Mine", "scope": "npu", "conditions": [HOT], **wrong}
    answer = rest.post("/api/v1/rules/", body, format="json")
    assert answer.status_code == 400 and field in answer.json()["errors"], answer.json()
    assert not Rule.objects.filter(slug="mine").exists()


def test_a_built_in_rule_is_changed_reset_and_never_deleted(rest):
    tag = rest.get("/api/v1/rules/disk-nearly-full/")["ETag"]
    body = {"conditions": [{"metric": "disk_used_percent", "op": ">", "value": 70}]}
    changed = rest.patch("/api/v1/rules/disk-nearly-full/", body, format="json", HTTP_IF_MATCH=tag).json()
    assert (changed["edited"], changed["conditions"][0]["value"]) == (True, 70)
    back = rest.post("/api/v1/rules/disk-nearly-full/reset/").json()
    assert (back["edited"], back["conditions"][0]["value"]) == (False, 90)
    gone = rest.delete("/api/v1/rules/disk-nearly-full/")
    assert gone.status_code == 409 and "switch it off" in gone.json()["title"]


def test_switching_a_rule_off_ends_what_it_found_and_asking_another_question_does_too(rest):
    off, other = opened("disk-nearly-full"), opened("clock-skew", "n1-02")
    for slug, body in (("disk-nearly-full", {"enabled": False}), ("clock-skew", {"for_s": 60})):
        tag = rest.get(f"/api/v1/rules/{slug}/")["ETag"]
        assert rest.patch(f"/api/v1/rules/{slug}/", body, format="json", HTTP_IF_MATCH=tag).status_code == 200
    ended = dict(Alert.objects.filter(state="ended").values_list("pk", "why_ended"))
    assert ended == {off.pk: "disabled", other.pk: "rule-changed"}


def test_a_rule_that_has_fired_stays(rest):
    rest.post("/api/v1/rules/", {"title": "Too hot", "conditions": [HOT], "scope": "npu"}, format="json")
    opened("too-hot", npu="0-0")
    assert rest.delete("/api/v1/rules/too-hot/").status_code == 409


def test_an_alert_says_what_is_known_of_its_cause_and_what_is_not(rest):
    alert = opened("npu-health", npu="0-0", values={"health": 2.0, "fault_codes": ["0x80e18402", "0xDEADBEEF"]})
    said = rest.get(f"/api/v1/alerts/{alert.pk}/").json()
    assert (said["rule"], said["machine"], said["npu"], said["severity"]) == ("npu-health", "n1-01", "0-0", "critical")
    known = [one["what"] for one in said["known"]]
    assert "64" in known[0] and known[1] == "Fault code 0xDEADBEEF: unknown to this console."
    assert "replaced" in said["known"][0]["do"] and "mind-cluster" in said["known"][0]["source"]
    bare = opened("npu-health", "n1-02", npu="0-0", values={"health": 2.0})
    known = rest.get(f"/api/v1/alerts/{bare.pk}/").json()["known"]
    assert known[0]["what"] == "It gave no fault code; what its fault is, is not known."


def test_alerts_are_filtered_paged_and_written_as_a_table(rest):
    opened("disk-nearly-full", "n1-01", site="lab", labels=["canary"])
    opened("clock-skew", "n1-02", site="lab", values={"clock_off_s": 9.0})
    opened("machine-silent", "n2-01", site="plant")

    def found(**query: str) -> list[str]:
        return [one["machine"] for one in rest.get("/api/v1/alerts/", query).json()["results"]]

    assert found() == ["n2-01", "n1-02", "n1-01"]
    assert found(site="lab", severity="warning") == ["n1-02", "n1-01"]
    assert found(label="canary") == ["n1-01"]
    assert found(rule="machine-silent", state="open") == ["n2-01"]
    assert found(state="ended") == [] and found(acknowledged="true") == []
    assert found(until="2026-11-25") == found() and found(since="2026-11-26") == []
    first = rest.get("/api/v1/alerts/", {"page_size": 2}).json()
    assert len(first["results"]) == 2 and rest.get(first["next"]).json()["results"][0]["machine"] == "n1-01"
    assert rest.get("/api/v1/alerts/", {"state": "gone", "since": "x"}).json()["errors"].keys() == {"state", "since"}
    table = rest.get("/api/v1/alerts/export.csv", {"rule": "clock-skew"})
    head, row = table.content.decode().splitlines()
    assert head.startswith("id,rule,severity,machine") and "clock_off_s=9.0" in row


def test_an_acknowledgement_is_the_first_persons_and_is_in_the_trail(rest):
    alert = opened("disk-nearly-full")
    said = rest.post(f"/api/v1/alerts/{alert.pk}/acknowledge/", {"note": "clearing images"}, format="json").json()
    assert (said["acknowledged_by"], said["note"]) == ("ada", "clearing images")
    other = APIClient()
    other.force_authenticate(User.objects.create_user("bob"))
    again = other.post(f"/api/v1/alerts/{alert.pk}/acknowledge/", {"note": "half done"}, format="json").json()
    assert (again["acknowledged_by"], again["note"]) == ("ada", "half done")
    told = AuditEvent.objects.filter(action="alert.acknowledged").order_by("id").values_list("actor", flat=True)
    assert list(told) == ["ada", "bob"]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"reason": "  "}, "reason"),
        ({"ends_at": None}, "ends_at"),
        ({"ends_at": timezone.now() - timedelta(hours=1)}, "ends_at"),
        ({"ends_at": timezone.now() + timedelta(days=91)}, "ends_at"),
        ({"site": ""}, "rule"),
        ({"machine": "nobody"}, "machine"),
    ],
)
def test_a_silence_has_a_scope_a_reason_and_an_end_that_is_bounded(rest, wrong, field):
    body = {"site": "lab", "reason": "work on the power", "ends_at": timezone.now() + timedelta(hours=2), **wrong}
    answer = rest.post("/api/v1/silences/", body, format="json")
    assert answer.status_code == 400 and field in answer.json()["errors"], answer.json()


def test_a_silence_covers_its_scope_until_it_ends(rest):
    inside, outside = opened("disk-nearly-full", site="lab"), opened("disk-nearly-full", "n2-01", site="plant")
    body = {"site": "lab", "reason": "images are moved", "ends_at": timezone.now() + timedelta(hours=2)}
    made = rest.post("/api/v1/silences/", body, format="json", HTTP_IDEMPOTENCY_KEY="one").json()
    assert made == rest.post("/api/v1/silences/", body, format="json", HTTP_IDEMPOTENCY_KEY="one").json()
    assert Silence.objects.count() == 1 and made["created_by"] == "ada"

    def silence(alert: Alert) -> int | None:
        return rest.get(f"/api/v1/alerts/{alert.pk}/").json()["silence"]

    assert (silence(inside), silence(outside)) == (made["id"], None)
    ended = rest.post(f"/api/v1/silences/{made['id']}/end/").json()
    assert ended["ended_by"] == "ada" and silence(inside) is None
    actions = AuditEvent.objects.filter(action__startswith="silence.").order_by("id").values_list("action", flat=True)
    assert list(actions) == ["silence.create", "silence.end"]


def test_the_metrics_that_a_condition_may_rest_on_are_listed(rest):
    metrics = {one["name"]: one for one in rest.get("/api/v1/rules/metrics/").json()}
    assert metrics["temp_c"]["unit"] == "°C" and metrics["ecc_errors"]["counter"]
