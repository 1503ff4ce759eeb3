from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import jsonschema
import pytest
from django.core.management import call_command

from hardware.inventory.models import Credential
from jobs.models import Job
from tests.sshd import PASSWORD
from tests.worker import work


def test_nobody_gets_in_without_a_token(client):
    answer = httpx.get(f"{client.base_url}machines/")
    assert answer.status_code == 401 and answer.headers["content-type"] == "application/problem+json"


def test_a_machine_goes_from_unknown_to_probed(client, sshd):
    made = client.post("/credentials/", json={"name": "rack-1", "username": "root", "password": PASSWORD})
    assert made.status_code == 201 and "password" not in made.json()
    fields = {
        "name": "n1",
        "host": "127.0.0.1",
        "port": sshd.endpoint.port,
        "credential": "rack-1",
        "labels": ["canary"],
    }
    machine = client.post("/machines/", json=fields).json()
    assert machine["state"] == "new" and machine["offered_fingerprint"].startswith("SHA256:")
    wrong = client.post("/machines/n1/confirm/", json={"fingerprint": "SHA256:other"})
    assert wrong.status_code == 400 and "n1" in str(wrong.json()["errors"])
    client.post("/machines/n1/confirm/", json={"fingerprint": machine["offered_fingerprint"]})
    probed = client.post("/machines/n1/probe/").json()
    assert probed["state"] == "ready" and probed["facts"]["kernel"]
    codes = {check["code"] for check in client.get("/machines/n1/preflight/").json()["checks"]}
    assert {"architecture", "kernel-headers", "npus-on-bus"} <= codes


def test_an_address_without_its_last_slash_is_the_same_address(client):
    made = client.post("/credentials", json={"name": "rack-1", "username": "root", "password": PASSWORD})
    assert made.status_code == 201
    assert client.get("/credentials").json() == client.get("/credentials/").json()
    missing = client.get("/nothing")
    assert (missing.status_code, missing.headers.get("location")) == (404, None)
    assert httpx.get(f"{client.base_url}credentials").status_code == 401


def test_a_machine_that_does_not_answer_is_a_clear_problem_and_is_not_stored(client):
    answer = client.post("/machines/", json={"name": "n2", "host": "127.0.0.1", "port": 1, "credential": "lab"})
    assert answer.status_code == 502
    problem = answer.json()
    assert problem["code"] == "ssh-unreachable" and problem["machine"] == "n2" and problem["mend"]
    assert client.get("/machines/n2/").status_code == 404


def test_what_a_dry_run_shows_is_what_runs(client):
    body = {"kind": "command", "params": {"command": "echo 'as shown'"}, "machines": ["host-1"]}
    shown = client.post("/jobs/?dry_run=1", json=body).json()
    assert shown["plan"]["stages"][0]["lanes"][0]["steps"][0]["action"]["command"] == "echo 'as shown'"
    assert not Job.objects.exists()
    job = client.post("/jobs/", json={**body, "plan_hash": shown["plan_hash"]}).json()
    work(Job.objects.get(pk=job["id"]))
    done = client.get(f"/jobs/{job['id']}/").json()
    assert (done["state"], done["plan_hash"]) == ("succeeded", shown["plan_hash"])
    log = client.get(f"/jobs/{job['id']}/log/").json()
    assert "".join(frame["text"] for frame in log["frames"]) == "as shown\n" and log["ended"]
    assert client.get(f"/jobs/{job['id']}/log/", params={"after": log["next"]}).json()["frames"] == []
    changed = client.post("/jobs/", json={**body, "plan_hash": "0" * 64})
    assert (changed.status_code, changed.json()["code"]) == (422, "plan-changed")


JOB = {"kind": "command", "params": {"command": "true"}}
SCHEDULE = {**JOB, "name": "nightly", "mode": "cron", "cron": "0 3 * * *"}
MISSPELT = {"site": "east", "lables": ["canary"]}


@pytest.mark.parametrize(
    ("path", "body", "at"),
    [
        ("/jobs/", {**JOB, "machine": "host-1"}, ["machine"]),
        ("/jobs/", {**JOB, "options": {"tolerat": 3}}, ["options", "tolerat"]),
        ("/jobs/", {**JOB, "targets": MISSPELT}, ["targets", "lables"]),
        ("/jobs/", {**JOB, "targets": {"site": "east", "labels": "canary"}}, ["targets", "labels"]),
        ("/schedules/", {**SCHEDULE, "targets": MISSPELT}, ["targets", "lables"]),
        ("/groups/", {"name": "canaries", "query": MISSPELT}, ["query", "lables"]),
        ("/pipelines/", {"pipeline": "bring-up", "targets": MISSPELT}, ["targets", "lables"]),
    ],
)
def test_a_misspelt_name_is_refused_and_does_not_wish_for_something_else(client, path, body, at):
    answer = client.post(path, json=body)
    assert answer.status_code == 400, answer.text
    found = answer.json()["errors"]
    for name in at:
        found = found[name]
    assert found


def test_a_misspelt_parameter_and_targets_of_two_forms_are_refused(client, machine):
    params = {"command": "true", "timeuot_s": 5}
    answer = client.post("/jobs/", json={"kind": "command", "params": params, "machines": ["host-1"]})
    assert (answer.status_code, answer.json()["field"]) == (422, "timeuot_s")
    targets = {"group": "all", "labels": ["canary"]}
    answer = client.post("/jobs/", json={"kind": "command", "params": {"command": "true"}, "targets": targets})
    assert (answer.status_code, answer.json()["field"]) == (422, "targets.labels")
    assert not Job.objects.exists()


def test_a_place_in_a_log_that_is_none_is_named(client, machine):
    job = client.post("/jobs/", json={"kind": "command", "params": {"command": "true"}, "machines": ["host-1"]}).json()
    answer = client.get(f"/jobs/{job['id']}/log/", params={"after": "-1"})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["after"])


def test_repeating_a_request_never_does_a_thing_twice(client):
    body = {"kind": "command", "params": {"command": "true"}, "machines": ["host-1"]}
    first, again = (client.post("/jobs/", json=body, headers={"Idempotency-Key": "k1"}) for _ in range(2))
    assert first.json() == again.json() and Job.objects.count() == 1
    other = client.post("/jobs/", json={**body, "params": {"command": "false"}}, headers={"Idempotency-Key": "k1"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    written_otherwise = json.dumps(dict(reversed(body.items())), indent=1)
    same = client.post(
        "/jobs/", content=written_otherwise, headers={"Idempotency-Key": "k1", "Content-Type": "application/json"}
    )
    assert same.json() == first.json() and Job.objects.count() == 1
    refused = client.post("/jobs/", json={**body, "kind": "none"}, headers={"Idempotency-Key": "k2"})
    mended = client.post("/jobs/", json=body, headers={"Idempotency-Key": "k2"})
    assert (refused.status_code, mended.status_code) == (422, 201)


def test_an_artifact_is_uploaded_listed_and_verified_and_a_corrupt_one_refused(client):
    made = client.post("/artifacts/", data={"type": "driver", "name": "d.run"}, files={"file": b"bytes"})
    assert made.status_code == 201, made.text
    assert client.post(f"/artifacts/{made.json()['id']}/verify/").json() == {"ok": True}
    assert client.get("/artifacts/", params={"type": "driver"}).json()["results"][0]["sha256"] == made.json()["sha256"]
    data = {"type": "driver", "name": "d2.run", "expected_sha256": "0" * 64}
    corrupt = client.post("/artifacts/", data=data, files={"file": b"other"})
    assert (corrupt.status_code, corrupt.json()["code"]) == (422, "artifact-corrupt")


def test_a_queued_job_is_cancelled_once(client):
    body = {"kind": "command", "params": {"command": "true"}, "machines": ["host-1"]}
    job = client.post("/jobs/", json=body).json()
    assert [client.post(f"/jobs/{job['id']}/cancel/").json()["state"] for _ in range(2)] == ["cancelled"] * 2


def test_secrets_are_never_read_back_and_the_schema_says_so(client):
    Credential.objects.create(name="secret", password="hunter2-secret")
    assert "hunter2" not in client.get("/credentials/").text
    schema = client.get("/schema/", headers={"Accept": "application/vnd.oai.openapi+json"}).json()
    assert schema["openapi"].startswith("3.1")
    assert schema["components"]["schemas"]["Credential"]["properties"].get("password") is None or (
        schema["components"]["schemas"]["Credential"]["properties"]["password"].get("writeOnly")
    )


def test_an_update_is_made_for_the_version_that_was_read_or_not_at_all(client, machine):
    read = client.get("/machines/host-1/")
    change = {"site": "hall-2", "labels": ["canary"]}
    unsaid = client.patch("/machines/host-1/", json=change)
    assert (unsaid.status_code, unsaid.json()["code"]) == (428, "if-match-missing")
    match = {"If-Match": read.headers["ETag"]}
    changed = client.patch("/machines/host-1/", json=change, headers=match)
    assert (changed.status_code, changed.json()["site"]) == (200, "hall-2")
    stale = client.patch("/machines/host-1/", json={"site": "hall-3"}, headers=match)
    assert (stale.status_code, stale.json()["code"]) == (412, "version-changed")
    moved = client.patch("/machines/host-1/", json={"host": "10.0.0.9"}, headers={"If-Match": changed.headers["ETag"]})
    assert moved.status_code == 400 and "had its host key confirmed" in str(moved.json()["errors"]["host"])


def test_a_retired_machine_takes_no_job_and_comes_back_with_its_history(client, machine):
    body = {"kind": "command", "params": {"command": "true"}, "machines": ["host-1"]}
    job = client.post("/jobs/", json=body).json()
    work(Job.objects.get(pk=job["id"]))
    assert client.post("/machines/host-1/retire/").json()["state"] == "retired"
    refused = client.post("/jobs/", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "machine-not-ready")
    assert client.post("/machines/host-1/restore/").json()["state"] == "ready"
    assert [j["id"] for j in client.get("/jobs/", params={"machines__name": "host-1"}).json()["results"]] == [job["id"]]


def test_the_trail_is_read_by_who_and_what(client, machine):
    client.post("/machines/host-1/retire/")
    events = client.get("/audit/", params={"action": "machine.retire"}).json()["results"]
    assert [(event["actor"], event["target"]) for event in events] == [("robot", "machine:host-1")]
    assert client.post("/audit/", json={}).status_code == 405


def test_the_schema_describes_every_endpoint_without_a_warning(tmp_path: Path):
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(tmp_path / "schema.yml"))
    text = (tmp_path / "schema.yml").read_text()
    for path in ("/machines/{name}/confirm/", "/jobs/{id}/cancel/", "/rollouts/{id}/", "/scenarios/support-bot/ask/"):
        assert f"/api/v1{path}:" in text


def test_a_machine_that_does_not_answer_keeps_nobody_else_from_writing(client, sshd):
    """A black hole takes ten seconds to be told from a slow machine; no transaction may be open all that time."""
    with socket.socket() as hole, ThreadPoolExecutor(1) as pool:
        hole.bind(("127.0.0.1", 0))
        hole.listen(1)
        fields = {"name": "n2", "host": "127.0.0.1", "port": hole.getsockname()[1], "credential": "lab"}
        waiting = pool.submit(client.post, "/machines/", json=fields, headers={"Idempotency-Key": "hole"})
        time.sleep(1)
        began = time.monotonic()
        made = client.post("/credentials/", json={"name": "other", "password": "x"}, headers={"Idempotency-Key": "c"})
        assert made.status_code == 201 and time.monotonic() - began < 3 and not waiting.done()
        refused = waiting.result(30)
    assert (refused.status_code, refused.json()["code"]) == (502, "ssh-unreachable")
    mended = client.post("/machines/", json={**fields, "port": sshd.endpoint.port}, headers={"Idempotency-Key": "hole"})
    assert mended.status_code == 201


def test_the_schema_is_true_of_what_is_asked_and_answered(client, machine):
    schema = client.get("/schema/", headers={"accept": "application/json"}).json()

    def check(path: str, method: str, answer: httpx.Response) -> None:
        said = schema["paths"][f"/api/v1{path}"][method]["responses"][str(answer.status_code)]
        found = {**said["content"]["application/json"]["schema"], "components": schema["components"]}
        jsonschema.Draft202012Validator(found).validate(answer.json())

    asked = schema["paths"]["/api/v1/jobs/"]["post"]
    body = asked["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    assert {"kind", "machines", "options", "after"} <= set(schema["components"]["schemas"][body]["properties"])
    assert {"Idempotency-Key", "dry_run"} <= {parameter["name"] for parameter in asked["parameters"]}
    request = {**JOB, "machines": ["host-1"]}
    check("/jobs/", "post", client.post("/jobs/?dry_run=1", json=request))
    made = client.post("/jobs/", json=request)
    check("/jobs/", "post", made)
    for part in ("", "steps/", "transitions/", "plan/", "log/"):
        check(f"/jobs/{{id}}/{part}", "get", client.get(f"/jobs/{made.json()['id']}/{part}"))
    for things in ("jobs", "machines", "schedules", "approvals", "windows", "limits", "groups", "pipelines"):
        check(f"/{things}/", "get", client.get(f"/{things}/"))
