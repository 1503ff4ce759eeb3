"""A job is run again on all its machines or on those it did not finish, and both jobs say so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from console.audit.models import AuditEvent
from jobs import retry
from jobs.failures import PlanRefused
from jobs.models import Job
from jobs.services import launch
from tests.console.pages import Page, sign_in
from tests.worker import work


@pytest.fixture
def client(machine) -> APIClient:
    made = APIClient()
    made.force_authenticate(User.objects.create_user("robot"))
    return made


@pytest.fixture
def site(live_server, machine) -> Iterator[httpx.Client]:
    made = sign_in(live_server.url, User.objects.create_user("ada"))
    yield made
    made.close()


@pytest.fixture
def half(machine, second, tmp_path: Path) -> Job:
    """A job that succeeded on one of its two machines: the first to come takes the token."""
    job = launch("command", {"command": f"mkdir {tmp_path}/token", "then": "echo done"}, [machine, second], actor="ada")
    work(job)
    assert job.state == "failed"
    return job


def failed_of(job: Job) -> list[str]:
    return [step.machine.name for step in job.steps.filter(state="failed")]


def test_the_failed_machines_are_those_on_which_not_every_step_was_done(half, machine, second):
    assert [m.name for m in retry.machines_of(half, "failed")] == failed_of(half)
    assert retry.machines_of(half, "all") == [machine, second]


def test_a_machine_on_which_the_work_was_undone_counts_as_failed(half):
    whole = half.steps.exclude(machine__name__in=failed_of(half)).last()
    whole.pk, whole.compensates, whole.state = None, True, "succeeded"
    whole.save()
    assert len(retry.machines_of(half, "failed")) == 2


def test_over_rest_the_failed_machines_are_planned_then_run_once_for_one_key(half, client):
    url = f"/api/v1/jobs/{half.pk}/retry/"
    shown = client.post(f"{url}?dry_run=1", {"machines": "failed"}, format="json").json()
    assert [lane["machine"] for lane in shown["plan"]["stages"][0]["lanes"]] == failed_of(half)
    assert Job.objects.count() == 1
    body: dict[str, object] = {"machines": "failed", "params": {"command": "echo mended"}}
    first = client.post(url, body, format="json", headers={"Idempotency-Key": "k"})
    again = client.post(url, body, format="json", headers={"Idempotency-Key": "k"})
    assert first.status_code == 201 and first.json() == again.json() and Job.objects.count() == 2
    other = client.post(url, {"machines": "all"}, format="json", headers={"Idempotency-Key": "k"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    made = Job.objects.get(pk=first.json()["id"])
    assert made.retry_of == half and made.created_by == "robot"
    assert made.params == {**half.params, "command": "echo mended"}
    assert work(made).state == "succeeded"
    assert client.get(f"/api/v1/jobs/{made.pk}/").json()["retry_of"] == half.pk
    assert client.get(f"/api/v1/jobs/{half.pk}/").json()["retries"] == [made.pk]
    trail = AuditEvent.objects.filter(action="job.launch").latest("pk")
    assert trail.detail["retry_of"] == half.pk


def test_over_rest_all_machines_with_only_the_plan_that_was_shown(half, client):
    url = f"/api/v1/jobs/{half.pk}/retry/"
    wrong = client.post(url, {"machines": "all", "plan_hash": "0" * 64}, format="json")
    assert (wrong.status_code, wrong.json()["code"]) == (422, "plan-changed")
    right = client.post(url, {"machines": "all", "plan_hash": half.plan_hash}, format="json")
    assert right.status_code == 201 and right.json()["machines"] == ["host-1", "host-2"]


def test_what_cannot_be_run_again_says_why(machine, client):
    job = launch("command", {"command": "true"}, [machine], actor="ada")
    url = f"/api/v1/jobs/{job.pk}/retry/"
    early = client.post(url, {"machines": "all"}, format="json")
    assert (early.status_code, early.json()["code"]) == (422, "job-not-ended")
    work(job)
    nothing = client.post(url, {"machines": "failed"}, format="json")
    assert (nothing.status_code, nothing.json()["code"]) == (422, "nothing-failed")
    assert client.post(url, {"machines": "some"}, format="json").status_code == 400
    edited = client.post(url, {"machines": "all", "params": {"timeout_s": "soon"}}, format="json")
    assert (edited.status_code, edited.json()["code"]) == (422, "params-invalid")
    assert Job.objects.count() == 1
    with pytest.raises(PlanRefused, match="failed on no machine"):
        retry.request_of(job, "failed")


def test_the_page_leads_through_the_plan_to_a_retry_and_both_jobs_name_each_other(half, site):
    page = Page(site.get(f"/jobs/{half.pk}/"))
    assert "Retry 1 failed machine" in page.text and "Run again" in page.text
    link = f"/jobs/new/?retry_of={half.pk}&machines=failed"
    assert link.replace("&", "&amp;") in page.source
    form = Page(site.get(link))
    assert form.commands()[0] == half.params["command"] and f"Retry of job {half.pk}" in form.text
    assert len(re.findall(r'name="machine" value="[^"]+" checked>', form.source)) == 1 and Job.objects.count() == 1
    sent = {"kind": "command", "machine": failed_of(half), "params.command": "echo edited", **form.hidden()}
    planned = Page(site.post("/jobs/new/", data={**sent, "do": "plan"}))
    assert planned.commands()[0] == "echo edited" and planned.hidden()["retry_of"] == str(half.pk)
    site.post("/jobs/new/", data={**sent, **planned.hidden(), "do": "run"})
    made = Job.objects.get(retry_of=half)
    assert (
        made.params["command"] == "echo edited"
        and f"Retry of job {half.pk}" in Page(site.get(f"/jobs/{made.pk}/")).text
    )
    assert f"Run again as job {made.pk}" in Page(site.get(f"/jobs/{half.pk}/")).text


def test_a_job_that_runs_or_went_well_offers_what_makes_sense(machine, site):
    job = launch("command", {"command": "true"}, [machine], actor="ada")
    assert "retry_of=" not in site.get(f"/jobs/{job.pk}/").text
    refused = Page(site.get(f"/jobs/new/?retry_of={job.pk}&machines=all"))
    assert f"Job {job.pk} has not ended." in refused.text and not refused.commands()
    work(job)
    page = site.get(f"/jobs/{job.pk}/").text
    assert "retry-failed" not in page and 'id="retry-all"' in page
    assert site.get("/jobs/new/?retry_of=999&machines=all").status_code == 404
