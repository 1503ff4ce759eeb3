from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from django.contrib.auth.models import User

from console.audit.models import AuditEvent
from jobs.approvals.models import Approval, ApprovalRule
from jobs.models import Job
from tests.console.pages import sign_in
from tests.jobs.approvals import factual


@pytest.fixture
def host(machine):
    factual.register()
    machine.labels = ["production"]
    return factual.say(machine, kernel="one")


@pytest.fixture
def ada(host, live_server) -> httpx.Client:
    return sign_in(live_server.url, User.objects.create_user("ada"))


@pytest.fixture
def grace(host, live_server) -> httpx.Client:
    return sign_in(live_server.url, User.objects.create_user("grace"))


def proposed(client: httpx.Client, file: Path) -> dict:
    body = {"kind": "factual", "params": {"touch": str(file)}, "machines": ["host-1"]}
    return client.post("/api/v1/jobs/", json=body).raise_for_status().json()


def test_a_rule_is_made_read_changed_and_removed(ada):
    made = ada.post("/api/v1/approval-rules/", json={"label": "production", "note": "the bank"})
    assert made.status_code == 201 and made.json()["created_by"] == "ada"
    path = f"/api/v1/approval-rules/{made.json()['id']}/"
    assert ada.post("/api/v1/approval-rules/", json={"label": "production"}).status_code == 400
    assert ada.post("/api/v1/approval-rules/", json={"note": "nothing"}).json()["errors"]["kind"]
    assert ada.post("/api/v1/approval-rules/", json={"kind": "no-such-kind"}).status_code == 400
    tag = ada.get(path).headers["ETag"]
    assert ada.patch(path, json={"site": "vault"}).status_code == 428
    changed = ada.patch(path, json={"site": "vault", "label": ""}, headers={"If-Match": tag})
    assert changed.status_code == 200 and ApprovalRule.objects.get().site == "vault"
    assert ada.delete(path).status_code == 204 and not ApprovalRule.objects.exists()
    trail = AuditEvent.objects.filter(action__startswith="approval-rule").order_by("pk")
    assert [event.action.split(".")[1] for event in trail] == ["create", "update", "delete"]
    assert trail[1].detail["before"] == {"site": "", "label": "production"}


def test_a_proposal_is_found_looked_at_and_approved_by_another_person(ada, grace, tmp_path):
    ada.post("/api/v1/approval-rules/", json={"label": "production"})
    body = {"kind": "factual", "params": {"touch": str(tmp_path / "x")}, "machines": ["host-1"]}
    assert ada.post("/api/v1/jobs/?dry_run=1", json=body).json()["approval_rules"] == ["label production"]
    job = proposed(ada, tmp_path / "x")
    assert job["state"] == "proposed"
    (listed,) = grace.get("/api/v1/approvals/?state=waiting").json()["results"]
    assert (listed["job"], listed["asked_by"], listed["rules"]) == (job["id"], "ada", ["label production"])
    path = f"/api/v1/approvals/{job['id']}/"
    shown = grace.get(path).json()
    assert shown["steps"][0]["steps"][0]["command"].startswith("echo one") and shown["preflight"] == {"host-1": []}
    sign = {"plan_hash": shown["plan_hash"], "comment": "fine"}
    own = ada.post(f"{path}approve/", json=sign)
    assert own.status_code == 403 and own.json()["code"] == "approval-own"
    assert "another person has to decide" in own.json()["title"] and own.json()["mend"]
    assert grace.post(f"{path}approve/", json={}).status_code == 400
    other = grace.post(f"{path}approve/", json={"plan_hash": "0" * 64})
    assert (other.status_code, other.json()["code"]) == (422, "plan-mismatch")
    for _ in range(2):
        done = grace.post(f"{path}approve/", json=sign)
        assert done.status_code == 200 and done.json()["decided_by"] == "grace"
        assert (done.json()["state"], done.json()["job_state"]) == ("approved", "queued")
    late = grace.post(f"{path}reject/", json={})
    assert (late.status_code, late.json()["code"]) == (409, "approval-decided")


def test_a_lapsed_approval_tells_its_differences_and_is_asked_for_again_once(ada, grace, host, tmp_path):
    ada.post("/api/v1/approval-rules/", json={"kind": "factual"})
    job = proposed(ada, tmp_path / "x")
    factual.say(host, kernel="three")
    path = f"/api/v1/approvals/{job['id']}/"
    answer = grace.post(f"{path}approve/", json={"plan_hash": job["plan_hash"]})
    assert (answer.status_code, answer.json()["code"]) == (409, "plan-changed")
    (differs,) = answer.json()["differs"]
    assert (differs["machine"], differs["step"], differs["field"]) == ("host-1", "only", "command")
    assert "echo one" in differs["before"] and "echo three" in differs["after"]
    assert grace.get(path).json()["differs"] == [differs] and grace.get(path).json()["state"] == "lapsed"
    assert ada.get(f"/api/v1/jobs/{job['id']}/").json()["failure"]["code"] == "plan-changed"
    again = [ada.post(f"{path}ask-again/", json={}, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert {answer.status_code for answer in again} == {201} and again[0].json() == again[1].json()
    assert again[0].json()["retry_of"] == job["id"] and again[0].json()["state"] == "proposed"
    assert Job.objects.count() == 2


def test_a_rejected_proposal_says_who_and_why(ada, grace, tmp_path):
    body = {"kind": "factual", "params": {"touch": str(tmp_path)}, "machines": ["host-1"], "propose": True}
    job = ada.post("/api/v1/jobs/", json=body).json()
    assert job["state"] == "proposed" and Approval.objects.get().rules == []
    done = grace.post(f"/api/v1/approvals/{job['id']}/reject/", json={"comment": "not today"})
    assert done.status_code == 200 and done.json()["job_state"] == "cancelled"
    assert ada.get(f"/api/v1/jobs/{job['id']}/").json()["failure"]["cause"] == "grace did not approve it: not today"
    assert grace.get("/api/v1/approvals/none/").status_code == 404


def test_the_newest_stand_first(ada, grace, tmp_path):
    body = {"kind": "factual", "params": {"touch": str(tmp_path)}, "machines": ["host-1"], "propose": True}
    ids = [ada.post("/api/v1/jobs/", json=body).json()["id"] for _ in range(3)]
    first = grace.get("/api/v1/approvals/?page_size=2").json()
    assert [row["job"] for row in first["results"]] == ids[:0:-1]
    assert [row["job"] for row in grace.get(first["next"]).json()["results"]] == ids[:1]
