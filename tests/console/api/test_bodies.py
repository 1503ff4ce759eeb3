"""A body is read whole and as it was meant, or refused: nothing of it is left out, taken twice or taken for another."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO

import httpx
import pytest

from hardware.inventory.groups.models import Group
from jobs.approvals.models import ApprovalRule
from jobs.depot.models import Artifact
from jobs.depot.services import ingest
from jobs.models import Job
from jobs.states import JobState
from tests.worker import work

JOB = {"kind": "command", "params": {"command": "true"}, "machines": ["host-1"]}
TEXT = json.dumps(JOB)
AS_JSON = {"Content-Type": "application/json"}


def problem(answer: httpx.Response, status: int) -> dict:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    return answer.json()


def test_a_form_is_no_json_whose_objects_would_be_left_out(client):
    form = {name: (None, value if isinstance(value, str) else json.dumps(value)) for name, value in JOB.items()}
    form["params"] = (None, json.dumps({"command": "true", "then": "false"}))
    form["options"] = (None, json.dumps({"pause_before": ["first"]}))
    problem(client.post("/jobs/", files=form), 415)
    problem(client.post("/jobs/", data={"kind": "command", "machines": "host-1"}), 415)
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    "text",
    [
        TEXT[:-1] + ', "machines": []}',
        TEXT.replace('"true"', '"true", "command": "false"'),
        TEXT[:-1] + ', "options": {"tolerate": "0", "tolerate": "100%"}}',
    ],
)
def test_a_name_that_comes_twice_is_refused(client, text):
    said = problem(client.post("/jobs/", content=text, headers=AS_JSON), 400)
    assert "twice" in said["title"] and not Job.objects.exists()


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 100_000,
        b'{"kind": ' * 50_000,
        b'{"kind": "\xff"}',
        b'{"kind": "command", "params": {"timeout_s": 1e400}}',
        b'{"kind": "command", "params": {"timeout_s": NaN}}',
        b'{"kind": "command", "params": {"timeout_s": -Infinity}}',
        rb'{"kind": "command", "params": {"\ud800": 1}}',
        rb'{"\ud800": 1}',
        rb'{"kind": "\udfff"}',
        b'{"kind": "' + b"9" * 10 + b'", "after": [' + b"9" * 5000 + b"]}",
        b"{",
    ],
)
def test_what_is_no_json_is_said_to_be_none(client, text):
    problem(client.post("/jobs/", content=text, headers=AS_JSON), 400)
    assert not Job.objects.exists()


@pytest.mark.parametrize("text", ["null", "[]", '"x"', "5", "true", '[{"kind": "command"}]'])
@pytest.mark.parametrize("path", ["jobs", "groups", "pipelines", "rollouts", "schedules", "limits", "releases"])
def test_what_is_no_object_is_refused(client, path, text):
    problem(client.post(f"/{path}/", content=text, headers=AS_JSON), 400)


def test_text_that_a_database_can_not_keep_is_refused(client):
    for body in ({**JOB, "params": {"command": "a\0b"}}, {**JOB, "params": {"a\0b": 1}}, {**JOB, "machines": ["a\0b"]}):
        assert client.post("/jobs/", json=body).status_code in (400, 422), body
    assert not Job.objects.exists()


def test_a_body_that_is_too_large_is_told_how_large_it_may_be(client):
    said = problem(client.post("/jobs/", content=b" " * (9 << 20), headers=AS_JSON), 413)
    assert said["code"] == "body-too-large" and str(8 << 20) in said["title"]


def in_pieces() -> Iterator[bytes]:
    yield b'{"before": "then"}'


def test_a_body_of_unknown_length_is_refused_and_not_taken_for_none(client):
    job = client.post("/jobs/", json=JOB).json()["id"]
    said = problem(client.post(f"/jobs/{job}/pause/", content=in_pieces(), headers=AS_JSON), 411)
    assert said["code"] == "length-required"
    assert Job.objects.get().state == JobState.QUEUED


def test_a_body_where_none_is_read_is_refused(client, machine):
    group = {"name": "canaries", "machines": ["host-1"]}
    client.post("/groups/", json=group).raise_for_status()
    for method, path in (("GET", "/jobs/"), ("DELETE", "/groups/canaries/"), ("GET", "/jobs/export.csv")):
        said = problem(client.request(method, path, json={"machines": ["host-1"]}), 400)
        assert said["code"] == "body-not-read", path
    assert Group.objects.exists()
    assert client.delete("/groups/canaries/").status_code == 204


def test_a_method_in_a_header_is_not_taken_for_another(client):
    said = problem(client.post("/jobs/", json=JOB, headers={"X-HTTP-Method-Override": "GET"}), 400)
    assert said["code"] == "method-override" and not Job.objects.exists()


def test_an_object_is_no_list_of_its_names(client):
    for path, body in (("/jobs/", JOB), ("/groups/", {"name": "canaries"}), ("/rollouts/", {"release": 1})):
        answer = client.post(path, json={**body, "machines": {"host-1": False}})
        assert answer.status_code == 400 and "machines" in answer.json()["errors"], path
    assert not Job.objects.exists() and not Group.objects.exists()


def test_a_machine_that_is_named_twice_is_worked_on_once(client):
    made = client.post("/jobs/", json={**JOB, "machines": ["host-1", "host-1"]})
    assert made.status_code == 201, made.text
    steps = client.get(f"/jobs/{made.json()['id']}/steps/").json()
    assert [step["key"] for step in steps] == ["first", "then"]


def test_machines_and_targets_of_a_pipeline_are_not_both_given(client):
    body = {"pipeline": "bring-up", "machines": ["host-1"], "targets": {"site": "east"}}
    said = problem(client.post("/pipelines/?dry_run=1", json=body), 400)
    assert list(said["errors"]) == ["targets"]


def test_a_field_that_is_only_read_is_not_left_out_without_a_word(client, machine):
    client.post("/groups/", json={"name": "canaries", "machines": ["host-1"]}).raise_for_status()
    read = client.get("/groups/canaries/")
    match = {"If-Match": read.headers["ETag"]}
    answer = client.patch("/groups/canaries/", json={"created_by": "ada"}, headers=match)
    assert list(problem(answer, 400)["errors"]) == ["created_by"]
    # Read, changed and sent back whole, as scripts do.
    whole = client.patch("/groups/canaries/", json={**read.json(), "note": "new"}, headers=match)
    assert (whole.status_code, whole.json()["note"]) == (200, "new"), whole.text
    answer = client.post("/approval-rules/", json={"site": "east", "created_by": "ada", "id": 9})
    assert sorted(problem(answer, 400)["errors"]) == ["created_by", "id"]
    assert not ApprovalRule.objects.exists()
    answer = client.get("/machines/host-1/")
    match = {"If-Match": answer.headers["ETag"]}
    answer = client.patch("/machines/host-1/", json={"state": "retired"}, headers=match)
    assert list(problem(answer, 400)["errors"]) == ["state"]
    assert client.patch("/machines/host-1/", json={"site": "east"}, headers=match).status_code == 200


@pytest.mark.parametrize("number", [10**30, -(10**30), 2**63, "9" * 30, str(2**63)])
def test_a_number_beyond_the_database_is_refused(client, number):
    job = client.post("/jobs/", json=JOB).json()["id"]
    for method, path, body in (
        ("POST", "/jobs/", {**JOB, "after": [number]}),
        ("POST", "/jobs/?dry_run=1", {**JOB, "after": [number]}),
        ("POST", "/jobs/", {"kind": "convert", "params": {"to": "om", "name": "m", "model": number}}),
        ("POST", "/rollouts/", {"release": number, "machines": ["host-1"]}),
        ("POST", "/limits/", {"jobs": number}),
        ("POST", "/releases/", {"name": "r", "version": "1", "image": number, "port": number}),
        ("GET", f"/jobs/{number}/", None),
        ("POST", f"/jobs/{number}/cancel/", None),
        ("POST", f"/jobs/{abs(int(number))}/urgent/", {"reason": "it must"}),
        ("GET", f"/jobs/{job}/log/?after={number}", None),
        ("GET", f"/jobs/{job}/log-search/?q=a&after={number}", None),
        ("GET", f"/jobs/?cursor=b{number}", None),
        ("GET", f"/schedules/?cursor={number}", None),
        ("GET", f"/deployments/?release={number}", None),
    ):
        answer = client.request(method, path, json=body)
        assert 200 <= answer.status_code < 500, (method, path, answer.status_code)
        if method == "POST":
            assert answer.status_code >= 400, (path, answer.text)
    assert Job.objects.count() == 1


@pytest.mark.parametrize("place", ["0", "\u00b2", "9" * 5000, "-1", "", "x"])
def test_a_reference_to_what_is_not_there_says_so(client, place):
    job = client.post("/jobs/", json=JOB).json()["id"]
    work(Job.objects.get(pk=job))
    source = {"$from": {"job": job, "path": f"artifacts.{place}"}}
    body = {**JOB, "params": {"command": source}, "after": [job]}
    said = problem(client.post("/jobs/?dry_run=1", json=body), 422)
    assert said["code"] in ("result-lacks-it", "reference-malformed")


def test_a_release_takes_an_npu_once(client):
    image = ingest(BytesIO(b"image"), name="bot.tar", type="image", actor="ada").pk
    body = {"name": "bot", "version": "1", "image": image, "smoke_text": "hello", "smoke_label": "greeting"}
    said = problem(client.post("/releases/", json={**body, "devices": [0, 0]}), 400)
    assert list(said["errors"]) == ["devices"]
    assert client.post("/releases/", json={**body, "devices": [0, 1]}).status_code == 201


@pytest.mark.parametrize(
    ("more", "named"),
    [([("file", ("b.run", b"two"))], "file"), ([("name", (None, "b.run"))], "name")],
)
def test_of_two_files_in_one_form_not_one_is_left_out(client, more, named):
    form = [("type", (None, "driver")), ("name", (None, "a.run")), ("file", ("a.run", b"one")), *more]
    said = problem(client.post("/artifacts/", files=form), 400)
    assert list(said["errors"]) == [named] and not Artifact.objects.exists()
