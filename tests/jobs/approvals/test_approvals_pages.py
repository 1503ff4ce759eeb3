from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from django.contrib.auth.models import User

from jobs.approvals.models import Approval, ApprovalRule
from jobs.models import Job
from jobs.services import launch
from tests.console.pages import Page, sign_in
from tests.jobs.approvals import factual


@pytest.fixture
def host(machine):
    factual.register()
    machine.labels, machine.site = ["production"], "vault"
    return factual.say(machine, kernel="one")


@pytest.fixture
def ada(host, live_server) -> httpx.Client:
    return sign_in(live_server.url, User.objects.create_user("ada"))


@pytest.fixture
def grace(host, live_server) -> httpx.Client:
    return sign_in(live_server.url, User.objects.create_user("grace"))


def propose(host, file: Path) -> Job:
    return launch("factual", {"touch": str(file)}, [host], actor="ada", propose=True)


def test_the_inbox_says_what_waits_since_when_for_whom_and_leads_to_the_plan(ada, grace, host, tmp_path):
    empty = Page(grace.get("/approvals/"))
    assert "Nothing waits" in empty.text and "No rule yet" in empty.text
    ApprovalRule.objects.create(label="production", note="the bank")
    job = launch("factual", {"touch": str(tmp_path)}, [host], actor="ada")
    page = Page(grace.get("/approvals/"))
    assert f"Factual job {job.pk} ada" in page.text and "1 host-1" in page.text and "1 command" in page.text
    assert "label: production" in page.text and f'href="/approvals/{job.pk}/"' in page.source
    assert "(you)" in Page(ada.get("/approvals/")).text
    # The number stands in the rail of every page, and Overview leads there.
    for path in ("/jobs/", "/"):
        assert "1 waiting" in Page(grace.get(path)).text
    assert f'href="/approvals/{job.pk}/"' in grace.get("/").text
    assert "Waits for another person." in Page(grace.get(f"/jobs/{job.pk}/")).text


def test_another_person_sees_every_command_and_approves(ada, grace, host, tmp_path):
    job = propose(host, tmp_path / "x")
    path = f"/approvals/{job.pk}/"
    page = Page(grace.get(path))
    assert page.commands() == [f"echo one; touch {tmp_path}/x"] and "no earlier run" in page.text
    own = Page(ada.get(path))
    assert "another person has to look at the plan" in own.text and 'value="approve"' not in own.source
    assert f'href="/jobs/{job.pk}/cancel/"' in own.source
    sent = ada.post(path, data={"do": "approve", "plan_hash": job.plan_hash})
    assert sent.status_code == 422 and "another person has to decide" in Page(sent).text
    blind = grace.post(path, data={"do": "approve", "comment": "seen at night"})
    assert blind.status_code == 422 and Approval.objects.get().state == "waiting"
    assert "seen at night</textarea>" in blind.text
    done = grace.post(path, data={"do": "approve", "plan_hash": job.plan_hash, "comment": "as agreed"})
    assert (done.status_code, done.headers["location"]) == (302, path)
    decided = Page(grace.get(path))
    assert "grace" in decided.text and "as agreed" in decided.text and 'value="approve"' not in decided.source
    assert "Approved by grace" in Page(grace.get(f"/jobs/{job.pk}/")).text
    assert "as agreed" in Page(grace.get("/approvals/")).text


def test_a_lapsed_one_shows_what_is_different_and_is_asked_for_again_once(ada, grace, host, tmp_path):
    job = propose(host, tmp_path / "x")
    factual.say(host, kernel="two")
    path = f"/approvals/{job.pk}/"
    page = Page(grace.post(path, data={"do": "approve", "plan_hash": job.plan_hash}))
    assert page.status == 422 and "Nothing was run." in page.text
    assert f"− echo one; touch {tmp_path}/x + echo two; touch {tmp_path}/x" in page.text and "host-1" in page.text
    assert "The plan would have 2 differences." in Page(ada.get(f"/jobs/{job.pk}/")).text
    for _ in range(2):
        again = ada.post(path, data={"do": "again", "token": "t"})
        fresh = Job.objects.exclude(pk=job.pk).get()
        assert again.headers["location"] == f"/approvals/{fresh.pk}/" and fresh.state == "proposed"
    assert f"Asked again as job {fresh.pk}" in Page(ada.get(path)).text


def test_asking_again_for_one_with_a_secret_asks_for_the_secret(ada, grace, host, tmp_path):
    params = {"touch": str(tmp_path), "password": "swordfish"}
    job = launch("factual", params, [host], actor="ada", propose=True)
    factual.say(host, kernel="two")
    path = f"/approvals/{job.pk}/"
    grace.post(path, data={"do": "approve", "plan_hash": job.plan_hash})
    assert 'type="password"' in ada.get(path).text and "swordfish" not in ada.get(path).text
    refused = Page(ada.post(path, data={"do": "again"}))
    assert refused.status == 422 and "password is a secret and was not given" in refused.text
    assert ada.post(path, data={"do": "again", "params.password": "swordfish"}).status_code == 302


def test_what_is_rejected_does_not_run(grace, host, tmp_path):
    job = propose(host, tmp_path / "x")
    grace.post(f"/approvals/{job.pk}/", data={"do": "reject", "comment": "not today"})
    assert Job.objects.get().state == "cancelled"
    assert "grace did not approve it: not today" in Page(grace.get(f"/jobs/{job.pk}/")).text


def test_rules_are_added_changed_and_deleted_on_the_inbox(grace):
    wrong = Page(grace.post("/approvals/rules/", data={"note": "nothing"}))
    assert wrong.status == 422 and "Give a kind, a label or a site." in wrong.error("r-kind")
    assert grace.post("/approvals/rules/", data={"label": "production", "note": "the bank"}).status_code == 302
    rule = ApprovalRule.objects.get()
    assert 'value="production"' in grace.get(f"/approvals/?rule={rule.pk}").text
    grace.post("/approvals/rules/", data={"rule": rule.pk, "kind": "install-driver", "label": "", "site": "vault"})
    page = Page(grace.get("/approvals/"))
    assert "kind: Install driver and firmware · site: vault" in page.text
    for _ in range(2):  # a second click, or another tab
        gone = grace.post("/approvals/rules/", data={"rule": rule.pk, "do": "delete"})
        assert gone.headers["location"] == "/approvals/" and not ApprovalRule.objects.exists()
    late = Page(grace.post("/approvals/rules/", data={"rule": rule.pk, "label": "typed", "note": "for nothing?"}))
    assert late.status == 422 and "This rule was deleted meanwhile." in late.error("r-kind")
    assert 'value="typed"' in late.source and 'value="for nothing?"' in late.source


def test_a_plan_that_differs_on_many_machines_is_read_when_it_is_unfolded(grace, host, tmp_path):
    for number in range(25):
        host.pk, host.name = None, f"m-{number}"
        factual.say(host, kernel=f"k{number}")
    job = launch("factual", {"touch": str(tmp_path)}, list(type(host).objects.all()), actor="ada", propose=True)
    page = grace.get(f"/approvals/{job.pk}/")
    assert f'hx-get="/jobs/{job.pk}/?part=plan"' in page.text and not Page(page).commands()
    assert len(Page(grace.get(f"/jobs/{job.pk}/?part=plan")).commands()) == 26
