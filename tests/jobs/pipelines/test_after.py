"""A job that comes after others: it waits, is planned when its turn comes, or never begins because they failed."""

from __future__ import annotations

import pytest

from console.audit.models import AuditEvent
from jobs.models import Job
from jobs.states import JobState
from tests.jobs.pipelines.words import drain
from tests.worker import log_of, took


def say(client, word, *machines, after=(), **more):
    body = {"kind": "word", "params": {"word": word, **more.pop("params", {})}, "machines": [m.name for m in machines]}
    return client.post("/api/v1/jobs/", {**body, "after": list(after), **more}, format="json")


def test_it_waits_for_the_job_that_it_needs_and_says_what_that_made(client, machine):
    one = say(client, "hello", machine).data["id"]
    answer = say(client, {"$from": {"job": one, "path": "report.word"}}, machine, after=[one])
    assert answer.status_code == 201, answer.data
    two = Job.objects.get(pk=answer.data["id"])
    assert (two.state, two.waits_for_id, two.waits_on["reason"], two.plan_hash) == ("waiting", one, "dependency", "")
    assert not took(two) and Job.objects.get(pk=two.pk).attempt == 0
    assert drain() == [one, two.pk]
    two.refresh_from_db()
    assert two.state == JobState.SUCCEEDED and log_of(two) == b"hello\n" and two.params["word"] == "hello"
    assert two.plan_hash and client.get(f"/api/v1/jobs/{two.pk}/").data["after"] == [one]
    moves = [(move.from_state, move.to_state) for move in two.transitions.all()]
    assert moves == [("", "waiting"), ("waiting", "queued"), ("queued", "running"), ("running", "succeeded")]
    assert AuditEvent.objects.filter(action="job.plan", target=f"job:{two.pk}").exists()


def test_what_needs_a_job_that_failed_never_begins_and_names_it_and_so_on_down_the_line(client, machine):
    one = say(client, "x", machine, params={"command": "exit 3"}).data["id"]
    two = say(client, "y", machine, after=[one]).data["id"]
    three = say(client, "z", machine, after=[two]).data["id"]
    assert drain() == [one]
    for job, needs in ((two, one), (three, two)):
        ended = Job.objects.get(pk=job)
        assert (ended.state, ended.failure["code"]) == (JobState.CANCELLED, "dependency-failed")
        assert f"Job {needs} (word)" in ended.failure["cause"] and not ended.steps.exists()
    assert "exit code 3" in Job.objects.get(pk=two).failure["cause"]
    # One that is launched later than the failure is refused at once.
    late = say(client, "w", machine, after=[one])
    assert late.status_code == 422 and late.data["code"] == "dependency-failed"


def test_machines_that_failed_within_tolerance_stay_behind_and_the_others_go_on(client, machine, second, tmp_path):
    command = f"mkdir {tmp_path}/token"
    one = say(client, "x", machine, second, params={"command": command}, options={"tolerate": "1"}).data["id"]
    two = Job.objects.get(pk=say(client, "y", machine, second, after=[one]).data["id"])
    drain()
    two.refresh_from_db()
    assert Job.objects.get(pk=one).state == JobState.FAILED and two.state == JobState.SUCCEEDED
    [lost] = Job.objects.get(pk=one).steps.filter(state="failed").values_list("machine__name", flat=True)
    assert [m.name for m in two.machines.all()] == [n for n in ("host-1", "host-2") if n != lost]
    assert (
        two.deferral.left_behind[lost]["code"] == "dependency-failed"
        and str(one) in two.deferral.left_behind[lost]["cause"]
    )


def test_without_tolerance_one_failed_machine_ends_it_for_all(client, machine, second, tmp_path):
    one = say(client, "x", machine, second, params={"command": f"mkdir {tmp_path}/token"}).data["id"]
    two = Job.objects.get(pk=say(client, "y", machine, second, after=[one]).data["id"])
    drain()
    two.refresh_from_db()
    assert (two.state, two.failure["code"]) == (JobState.CANCELLED, "dependency-failed")


@pytest.mark.parametrize(
    ("word", "after", "code"),
    [
        ({"$from": {"job": 99, "path": "report.word"}}, None, "reference-unknown"),
        ({"$from": {"path": "report.word"}}, None, "reference-malformed"),
        ({"$from": "report.word"}, None, "reference-malformed"),
        ("x", [4711], "job-unknown"),
    ],
)
def test_what_can_not_be_right_is_refused_when_it_is_asked_for(client, machine, word, after, code):
    one = say(client, "hello", machine).data["id"]
    answer = say(client, word, machine, after=after or [one])
    assert answer.status_code == 422 and answer.data["code"] == code, answer.data
    assert Job.objects.count() == 1


def test_parameters_that_are_known_are_checked_at_once_and_unknown_ones_when_the_turn_comes(client, machine):
    one = say(client, "hello", machine).data["id"]
    wrong = client.post(
        "/api/v1/jobs/",
        {"kind": "word", "params": {"command": "true"}, "machines": ["host-1"], "after": [one]},
        format="json",
    )
    assert wrong.status_code == 422 and wrong.data["code"] == "params-invalid" and "word" in wrong.data["title"]
    missing = Job.objects.get(
        pk=say(client, {"$from": {"job": one, "path": "report.verse"}}, machine, after=[one]).data["id"]
    )
    drain()
    missing.refresh_from_db()
    assert (missing.state, missing.failure["code"]) == (JobState.CANCELLED, "result-lacks-it")
    assert "report.verse" in missing.failure["cause"]


def test_only_the_plan_that_was_approved_is_run_when_the_turn_comes(client, machine):
    one = say(client, "hello", machine).data["id"]
    dry = client.post(
        "/api/v1/jobs/?dry_run=1", {"kind": "word", "params": {"word": "w"}, "machines": ["host-1"]}, format="json"
    )
    right = say(client, "w", machine, after=[one], plan_hash=dry.data["plan_hash"]).data["id"]
    other = say(client, "w", machine, after=[one], plan_hash="0" * 64).data["id"]
    drain()
    assert Job.objects.get(pk=right).state == JobState.SUCCEEDED
    assert Job.objects.get(pk=other).failure["code"] == "plan-changed"


def test_a_fact_of_the_targets_is_a_parameter_and_must_be_the_same_on_all(client, machine, second):
    machine.facts = {"architecture": "aarch64"}
    machine.save()
    one = say(client, "hello", machine).data["id"]
    same = say(client, {"$fact": "architecture"}, machine, after=[one]).data["id"]
    differs = say(client, {"$fact": "architecture"}, machine, second, after=[one]).data["id"]
    drain()
    assert log_of(Job.objects.get(pk=same)) == b"aarch64\n"
    assert Job.objects.get(pk=differs).failure["code"] == "fact-differs"


def test_a_job_that_waits_can_be_cancelled_and_two_workers_plan_it_once(client, machine):
    one = Job.objects.get(pk=say(client, "hello", machine).data["id"])
    gone, kept = (Job.objects.get(pk=say(client, "w", machine, after=[one.pk]).data["id"]) for _ in range(2))
    assert client.post(f"/api/v1/jobs/{gone.pk}/cancel/").status_code == 200
    assert took(one)
    from jobs.pipelines.deferral import settle

    assert settle(kept.pk) and not settle(kept.pk) and not settle(gone.pk)
    assert kept.steps.count() == 1 and Job.objects.get(pk=gone.pk).state == JobState.CANCELLED
