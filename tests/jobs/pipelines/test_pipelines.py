"""A pipeline: started whole, carried out stage by stage, stopped, and taken up again where it broke."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from console.audit.models import AuditEvent
from jobs.failures import PlanRefused
from jobs.models import Job
from jobs.pipelines.models import Pipeline
from jobs.pipelines.services import carry_on
from jobs.pipelines.standing import Standing
from jobs.retry import request_of
from jobs.services import launch
from jobs.states import JobState
from tests.jobs.pipelines import words
from tests.jobs.pipelines.words import drain
from tests.worker import log_of, took


def begin(client, *machines, key="", dry=False, **body):
    body = {"pipeline": "chain", "machines": [machine.name for machine in machines], **body}
    headers = {"Idempotency-Key": key} if key else {}
    return client.post(f"/api/v1/pipelines/{'?dry_run=1' if dry else ''}", body, format="json", headers=headers)


def jobs_of(pk: int) -> list[Job]:
    return [stage.job for stage in Pipeline.objects.get(pk=pk).stages.order_by("position")]


def test_stages_follow_each_other_and_pass_on_what_they_made(client, machine):
    dry = begin(client, machine, dry=True, params={"word": "hello"})
    assert dry.status_code == 200 and [stage["name"] for stage in dry.data["stages"]] == ["one", "two", "three"]
    assert dry.data["plan"]["stages"][0]["lanes"][0]["steps"][0]["action"]["command"] == "true && echo hello"
    assert not Job.objects.exists() and not Pipeline.objects.exists()

    made = begin(client, machine, params={"word": "hello"}, plan_hash=dry.data["plan_hash"])
    assert made.status_code == 201 and made.data["state"] == "queued"
    assert [stage["state"] for stage in made.data["stages"]] == ["queued", "waiting", "waiting"]
    ran = drain()
    assert ran == [job.pk for job in jobs_of(made.data["id"])]
    assert [log_of(Job.objects.get(pk=pk)) for pk in ran] == [b"hello\n"] * 3
    after = client.get(f"/api/v1/pipelines/{made.data['id']}/").data
    assert (after["state"], after["ended"], after["left_behind"]) == ("succeeded", True, {})
    assert AuditEvent.objects.filter(
        action="pipeline.start", target=f"pipeline:{made.data['id']}", actor="robot"
    ).exists()


def test_the_same_request_again_starts_nothing(client, machine):
    first, again = (begin(client, machine, key="k", params={"word": "hello"}) for _ in range(2))
    assert first.data["id"] == again.data["id"] and Pipeline.objects.count() == 1 and Job.objects.count() == 3
    other = begin(client, machine, key="k", params={"word": "goodbye"})
    assert other.status_code == 422 and other.data["code"] == "idempotency-key-reused"


def test_what_can_not_be_planned_starts_nothing_of_it(client, machine):
    assert begin(client, machine, params={}).data["code"] == "params-invalid"
    assert begin(client, params={"word": "x"}).data["code"] == "targets-invalid"
    assert begin(client, machine, params={"word": "x"}, plan_hash="0" * 64).data["code"] == "plan-changed"
    assert begin(client, machine, pipeline="none", params={}).data["code"] == "pipeline-unknown"
    assert not Pipeline.objects.exists() and not Job.objects.exists()


def test_a_retry_goes_on_where_it_broke_and_not_from_the_beginning(client, machine, tmp_path):
    made = begin(client, machine, params={"word": "hello", "second": f"test -e {tmp_path}/mended"}).data
    drain()
    shown = client.get(f"/api/v1/pipelines/{made['id']}/").data
    assert [stage["state"] for stage in shown["stages"]] == ["succeeded", "failed", "cancelled"]
    assert (shown["state"], shown["stages"][2]["failure"]["code"]) == ("failed", "dependency-failed")
    (tmp_path / "mended").touch()
    before = jobs_of(made["id"])
    again = client.post(f"/api/v1/pipelines/{made['id']}/retry/", headers={"Idempotency-Key": "r"})
    twice = client.post(f"/api/v1/pipelines/{made['id']}/retry/", headers={"Idempotency-Key": "r"})
    assert again.status_code == twice.status_code == 201
    after = jobs_of(made["id"])
    assert after[0] == before[0] and [job.retry_of for job in after[1:]] == before[1:]
    assert drain() == [job.pk for job in after[1:]]
    assert client.get(f"/api/v1/pipelines/{made['id']}/").data["state"] == "succeeded"
    assert log_of(after[2]) == b"hello\n"
    nothing = client.post(f"/api/v1/pipelines/{made['id']}/retry/")
    assert nothing.status_code == 422 and nothing.data["code"] == "nothing-failed"
    assert len(client.get(f"/api/v1/pipelines/{made['id']}/jobs/").data) == 5


def test_a_retry_of_the_stages_own_job_takes_its_place_in_the_pipeline(client, machine, second, tmp_path):
    command = f"mkdir {tmp_path}/token"
    made = begin(client, machine, second, params={"word": "hello", "first": command}).data
    drain()
    broken = jobs_of(made["id"])[0]
    assert broken.state == JobState.FAILED
    (tmp_path / "token").rmdir()
    again = client.post(f"/api/v1/jobs/{broken.pk}/retry/", {"machines": "failed"}, format="json")
    assert again.status_code == 201 and len(again.data["machines"]) == 1
    drain()
    # The machine that had got through before and the one that did now go on together.
    stages = jobs_of(made["id"])
    assert stages[0].pk == again.data["id"] and [job.state for job in stages] == ["succeeded"] * 3
    assert stages[2].machines.count() == 2


def test_cancelling_it_cancels_what_runs_and_what_waits(client, machine):
    made = begin(client, machine, params={"word": "hello"}).data
    assert took(jobs_of(made["id"])[0])
    shown = client.post(f"/api/v1/pipelines/{made['id']}/cancel/").data
    assert [stage["state"] for stage in shown["stages"]] == ["succeeded", "cancelled", "cancelled"]
    assert (shown["state"], shown["ended"]) == ("cancelled", True) and drain() == []
    assert jobs_of(made["id"])[1].failure["code"] == "pipeline-cancelled"
    assert client.post(f"/api/v1/pipelines/{made['id']}/cancel/").status_code == 200


def test_machines_stay_behind_where_they_failed_and_are_named(client, machine, second, tmp_path):
    command = f"mkdir {tmp_path}/token"
    body = {"params": {"word": "hello", "first": command}, "options": {"tolerate": "50%"}}
    made = begin(client, machine, second, **body).data
    drain()
    shown = client.get(f"/api/v1/pipelines/{made['id']}/").data
    assert [stage["state"] for stage in shown["stages"]] == ["failed", "succeeded", "succeeded"]
    assert shown["state"] == "succeeded" and list(shown["left_behind"].values()) == ["one"]
    [lost] = shown["left_behind"]
    assert lost in shown["stages"][1]["left_behind"] and lost not in shown["stages"][2]["machines"]


def test_where_approval_is_asked_for_each_stage_waits_for_it_with_its_plan(client, machine):
    made = begin(client, machine, params={"word": "hello"}, propose=True).data
    one, two, three = jobs_of(made["id"])
    assert (one.state, two.state, three.state) == ("proposed", "waiting", "waiting") and drain(3) == []
    other = APIClient()
    other.force_authenticate(User.objects.create_user("grace"))
    [asked] = other.get("/api/v1/approvals/").data["results"]
    seen = {"plan_hash": one.plan_hash}
    assert other.post(f"/api/v1/approvals/{asked['job']}/approve/", seen, format="json").status_code == 200
    assert drain(3) == [one.pk]
    two.refresh_from_db()
    assert two.state == "proposed" and two.plan_hash and two.steps.count() == 1
    assert Standing(Pipeline.objects.get(pk=made["id"])).state == JobState.PROPOSED


def test_a_stage_whose_approval_lapsed_is_asked_for_again_and_the_pipeline_goes_on(client, machine, monkeypatch):
    made = begin(client, machine, params={"word": "hello"}, propose=True).data
    other = APIClient()
    other.force_authenticate(User.objects.create_user("grace"))

    def approve(job: Job) -> int:
        seen = {"plan_hash": job.plan_hash}
        return other.post(f"/api/v1/approvals/{job.pk}/approve/", seen, format="json").status_code

    one, _, _ = jobs_of(made["id"])
    # What would run now is something else than what was asked for.
    monkeypatch.setattr(words.Word, "title_of_step", "Say it loudly")
    assert approve(one) == 409 and Job.objects.get(pk=one.pk).state == JobState.CANCELLED
    drain(3)
    assert [job.state for job in jobs_of(made["id"])] == ["cancelled"] * 3
    again = client.post(f"/api/v1/approvals/{one.pk}/ask-again/", {}, format="json")
    assert again.status_code == 201, again.data
    renewed = jobs_of(made["id"])
    assert renewed[0].retry_of == one and [job.state for job in renewed] == ["proposed", "waiting", "waiting"]
    for position in range(3):
        assert approve(jobs_of(made["id"])[position]) == 200
        drain(3)
    assert Standing(Pipeline.objects.get(pk=made["id"])).state == JobState.SUCCEEDED


def test_of_two_who_retry_at_the_same_moment_one_goes_on(client, machine):
    made = begin(client, machine, params={"word": "hello", "second": "false"}).data
    drain()
    broken = jobs_of(made["id"])[1]
    # Both have looked at what broke before either has launched.
    ways = [carry_on(broken, actor=actor) for actor in ("ada", "bob")]
    wanted = request_of(broken, "all")
    launch(**wanted, actor="ada", retry_of=broken, arrange=ways[0])
    with pytest.raises(PlanRefused, match="ended badly"):
        launch(**wanted, actor="bob", retry_of=broken, arrange=ways[1])
    assert Job.objects.filter(retry_of=broken).count() == 1


def test_targets_that_nobody_passes_are_not_taken_for_none(client, machine):
    for path, body in (
        ("jobs", {"kind": "convert", "params": {"to": "mindir", "name": "m", "model": 1}}),
        ("pipelines", {"pipeline": "chain", "params": {"word": "x"}}),
    ):
        wanted = {**body, "targets": {"site": "esat"}}
        answer = client.post(f"/api/v1/{path}/?dry_run=1", wanted, format="json")
        assert (answer.status_code, answer.data["code"]) == (422, "no-machine")
