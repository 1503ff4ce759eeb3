"""What stands behind the question mark, and in a body, is read or refused, and never left out."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from hardware.inventory.models import Machine
from jobs.models import Job
from jobs.schedules.models import Schedule
from jobs.states import JobState

JOB = {"kind": "command", "params": {"command": "true"}, "machines": ["host-1"]}
BODIES = {
    "jobs": JOB,
    "pipelines": {"pipeline": "bring-up", "machines": ["host-1"], "params": {}},
    "machine-import": {"text": "name,host,credential\nn2,127.0.0.1,lab\n", "format": "csv"},
    "rollouts": {},
}


@pytest.mark.parametrize("yes", ["1", "true", "True", "TRUE", "yes", "on"])
def test_a_dry_run_is_one_however_yes_is_written(client, yes):
    answer = client.post("/jobs/", params={"dry_run": yes}, json=JOB)
    assert (answer.status_code, Job.objects.count()) == (200, 0) and answer.json()["plan_hash"]


@pytest.mark.parametrize(
    ("query", "named"),
    [("dry_run=maybe", "dry_run"), ("dry_run=", "dry_run"), ("dryrun=1", "dryrun"), ("dry_run=1&dry-run=1", "dry-run")],
)
@pytest.mark.parametrize("path", ["jobs", "pipelines", "machine-import", "rollouts"])
def test_a_dry_run_that_is_misspelt_is_refused_and_nothing_is_done(client, path, query, named):
    answer = client.post(f"/{path}/?{query}", json=BODIES[path])
    assert answer.status_code == 400 and list(answer.json()["errors"]) == [named]
    assert Job.objects.count() == 0 and Machine.objects.count() == 1


def test_no_is_no_dry_run(client):
    assert client.post("/jobs/", params={"dry_run": "false"}, json=JOB).status_code == 201


def test_what_has_no_dry_run_is_not_done_when_one_is_asked_for(client):
    job = client.post("/jobs/", json=JOB).json()["id"]
    order = {"name": "nightly", "kind": "command", "params": {"command": "true"}, "targets": {"machines": ["host-1"]}}
    for path, body in ((f"/jobs/{job}/cancel/", None), ("/schedules/", {**order, "cron": "0 3 * * *"})):
        answer = client.post(path, params={"dry_run": "1"}, json=body)
        assert answer.status_code == 400 and list(answer.json()["errors"]) == ["dry_run"], path
        assert answer.headers["content-type"] == "application/problem+json"
    assert not Schedule.objects.exists()
    assert Job.objects.get().state == JobState.QUEUED
    assert client.patch("/machines/host-1/?dry_run=1", json={"site": "b"}).status_code == 400
    assert Machine.objects.get().site == ""


def test_an_action_on_the_whole_is_not_done_when_a_part_is_named(client):
    job = client.post("/jobs/", json=JOB).json()["id"]
    answer = client.post(f"/jobs/{job}/cancel/", json={"machines": ["host-1"]})
    assert answer.status_code == 400 and list(answer.json()["errors"]) == ["machines"]
    assert Job.objects.get().state == JobState.QUEUED
    assert client.post(f"/jobs/{job}/cancel/", json={}).status_code == 200


def test_every_list_refuses_a_filter_that_it_does_not_know(client):
    paths = client.get("/schema/", headers={"accept": "application/json"}).json()["paths"]
    lists = [path for path, methods in paths.items() if "{" not in path and {"cursor", "since"} & _named(methods)]
    assert len(lists) > 15
    for path in lists:
        answer = client.get(path.removeprefix("/api/v1"), params={"nonsense": "1", "format": "json"})
        assert answer.status_code == 400 and list(answer.json()["errors"]) == ["nonsense"], path
        assert client.get(path.removeprefix("/api/v1")).status_code == 200, path


def test_every_body_is_refused_that_has_a_field_which_is_none(client):
    User.objects.update(is_superuser=True)
    paths = client.get("/schema/", headers={"accept": "application/json"}).json()["paths"]
    asked = {
        path.removeprefix("/api/v1")
        for path, methods in paths.items()
        if "{" not in path and "application/json" in methods.get("post", {}).get("requestBody", {}).get("content", {})
    } - {"/token/"}
    assert len(asked) > 12
    for path in sorted(asked):
        answer = client.post(path, json={"nonsense": 1})
        assert answer.status_code == 400 and list(answer.json()["errors"]) == ["nonsense"], (path, answer.text)


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/jobs/?state=running&state=failed", "state"),
        ("/jobs/?kind=command&kind__in=convert", "kind__in"),
        ("/jobs/?kind=,", "kind"),
        ("/jobs/?machine=host-1,host-2", "machine"),
        ("/jobs/export.csv?person=robot,ada", "person"),
        ("/jobs/export.csv?state=,", "state"),
        ("/jobs/export.jsonl?machine=a&machine=b", "machine"),
        ("/schedules/?enabled=yes", "enabled"),
        ("/machines/?simulated=no", "simulated"),
        ("/machines/?name=%20", "name"),
        ("/machines/?page_size=1000", "page_size"),
        ("/machines/?page_size=0", "page_size"),
        ("/schedules/?page_size=all", "page_size"),
        ("/jobs/?page_size=501", "page_size"),
        ("/jobs/JOB/?machine=host-1", "machine"),
        ("/jobs/JOB/steps/?machine=host-1", "machine"),
        ("/jobs/JOB/log-text/?machne=host-1", "machne"),
        ("/jobs/JOB/log-zip/?machine=host-1", "machine"),
        ("/jobs/JOB/transitions/?to=running", "to"),
        ("/machines/host-1/?fields=name", "fields"),
    ],
)
def test_what_would_not_be_read_of_an_address_is_refused(client, path, named):
    job = client.post("/jobs/", json=JOB).json()["id"]
    answer = client.get(path.replace("JOB", str(job)))
    assert (answer.status_code, list(answer.json().get("errors", ()))) == (400, [named]), answer.text


@pytest.mark.parametrize("query", ["dry_run=1&dry_run=0", "dry_run=true&dry_run=false"])
def test_a_dry_run_that_is_said_and_unsaid_is_refused(client, query):
    answer = client.post(f"/jobs/?{query}", json=JOB)
    assert answer.status_code == 400 and list(answer.json()["errors"]) == ["dry_run"]
    assert not Job.objects.exists()


def _named(methods: dict) -> set[str]:
    return {parameter["name"] for parameter in methods.get("get", {}).get("parameters", ())}
