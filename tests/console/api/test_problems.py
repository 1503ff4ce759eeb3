"""What goes wrong is a problem (RFC 9457) whatever went wrong, and never a fault of ours.

Every operation of the OpenAPI document is asked for what makes no sense, through the whole chain of middleware.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.authtoken.models import Token

from hardware.inventory.groups.models import Group
from jobs.depot.services import ingest
from jobs.models import Job
from jobs.services import launch
from tests.jobs.pipelines import words

JOB = {"kind": "command", "params": {"command": "true"}, "machines": ["host-1"]}
# What may stand in the place of any value of a body, and of an address.
ODD: list[Any] = [
    None, True, "", "\0", "x" * 5000, -1, 2**62, "9" * 30, 1.5, [], [None], {}, {"$from": 1}, "2040-13-45",
]  # fmt: skip
ASKED = ["1", "", " ", "\0", "-1", "9" * 30, ",", "\U0001f600", "2040-13-45"]
NAMES = ["host-1", "0", "-1", "9" * 30, "a%00b", "%2e%2e", "%ff"]
# Slow by what they do: they knock at addresses.
SLOW = {"/api/v1/network-scan/", "/api/v1/machines/{name}/probe/", "/api/v1/machines/{name}/bmc/read/"}
# No Redis, no machine that answers: said, and no fault.
AWAY = (502, 503, 504)


@pytest.fixture
def inside(db: None, machine: Any, settings: Any, tmp_path: Path) -> Client:
    """In the process and in one transaction: thousands of requests."""
    settings.DEPOT_DIR = tmp_path / "depot"
    token = Token.objects.create(user=User.objects.create_user("robot"))
    launch("command", {"command": "true"}, [machine], actor="robot")
    Group.objects.create(name="host-1").machines.set([machine])
    return Client(raise_request_exception=False, headers={"Authorization": f"Token {token.key}"})


@pytest.fixture
def schema(inside: Client) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(inside.get("/api/v1/schema/?format=json").content)
    return read


def operations(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in schema["paths"].items():
        for method, said in methods.items():
            if path not in SLOW:
                yield path, method, said


def fields(schema: dict[str, Any], said: dict[str, Any]) -> list[str]:
    shown = said.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    name = shown.get("$ref", "").rpartition("/")[2]
    return list(schema["components"]["schemas"].get(name, shown).get("properties", {}))


def put_in(path: str, name: str) -> str:
    while "{" in path:
        path = path.partition("{")[0] + name + path.partition("}")[2]
    return path


def wrong(answer: Any, declared: set[str] | None = None) -> str:
    """What is wrong with an answer; empty when nothing is."""
    status, kind = answer.status_code, answer.headers.get("Content-Type", "")
    if status >= 500 and status not in AWAY:
        return f"{status}"
    if status >= 400:
        if kind != "application/problem+json":
            return f"{status} is {kind}"
        # The answer to a HEAD has none.
        said = json.loads(answer.content or "{}") or {"status": status, "code": 1, "title": 1, "type": 1}
        return "" if said["status"] == status and said["code"] and said["title"] and said["type"] else f"{said}"
    return f"{status} is not in the document" if declared and str(status) not in declared else ""


def test_no_operation_has_a_fault_whatever_it_is_sent(inside, schema):
    found: dict[tuple[str, str, str], Any] = {}
    asked = 0
    for path, method, said in operations(schema):
        if method == "delete":
            continue
        place = put_in(path, "host-1" if "{name}" in path else str(Job.objects.latest("pk").pk))
        tried: list[tuple[str, Any]] = []
        if method == "get":
            names = [one["name"] for one in said.get("parameters", ()) if one["in"] == "query"]
            tried = [("", {}), *((name, {name: odd}) for name in names for odd in ASKED)]
        else:
            good = JOB if path == "/api/v1/jobs/" else {}
            tried = [("", {}), *((name, {**good, name: odd}) for name in fields(schema, said) for odd in ODD)]
        headers = {"If-Match": inside.get(place).headers.get("ETag", "")} if method == "patch" else {}
        for name, given in tried:
            if method == "get":
                answer = inside.get(place, given)
            else:
                answer = inside.generic(method.upper(), place, json.dumps(given), "application/json", headers=headers)
            asked += 1
            if bad := wrong(answer, set(said["responses"])):
                found.setdefault((f"{method} {path}", name, bad), given)
    assert not found, "\n".join(f"{what}: {given}" for what, given in found.items())
    assert asked > 1500


def test_what_is_read_and_what_goes_wrong_is_as_the_document_says(inside, schema):
    words.register()
    image = ingest(BytesIO(b"image"), name="bot.tar", type="image", actor="ada").pk
    order = {"kind": "command", "params": {"command": "true"}, "targets": {"machines": ["host-1"]}}
    ids = {}
    for things, body in (
        ("jobs", {**JOB, "propose": True}),
        ("schedules", {**order, "name": "nightly", "mode": "cron", "cron": "0 3 * * *"}),
        ("windows", {"kind": "open", "name": "n", "weekdays": [0], "begins": "22:00", "ends": "04:00"}),
        ("limits", {"kind": "command", "jobs": 1}),
        ("approval-rules", {"label": "critical"}),
        ("pipelines", {"pipeline": "chain", "params": {"word": "x"}, "machines": ["host-1"]}),
        ("releases", {"name": "bot", "version": "1", "image": image, "smoke_text": "hello", "smoke_label": "greeting"}),
    ):
        made = inside.post(f"/api/v1/{things}/", body, "application/json")
        assert made.status_code == 201, made.content
        ids[things] = made.json()["id"]
    ids |= {"approvals": ids["jobs"], "artifacts": image}
    inside.post(f"/api/v1/schedules/{ids['schedules']}/run-now/", content_type="application/json")
    checked = set()
    for path, method, said in operations(schema):
        assert list(said["responses"]["default"]["content"]) == ["application/problem+json"], path
        if method == "get":
            answer = inside.get(put_in(path, "host-1" if "{name}" in path else str(ids.get(path.split("/")[3], 0))))
            kind, status = answer.headers["Content-Type"].partition(";")[0], str(answer.status_code)
            if kind in ("application/json", "application/problem+json"):
                told = said["responses"].get(status, said["responses"]["default"])["content"][kind]["schema"]
                jsonschema.Draft202012Validator({**told, "components": schema["components"]}).validate(answer.json())
                checked.add((path, status))
    assert len([path for path, status in checked if status == "200"]) > 45


def test_no_address_has_a_fault_whatever_stands_in_it(inside, schema):
    found = set()
    for path, _method, _said in operations(schema):
        for name in NAMES if "{" in path else [""]:
            for ask in (inside.get, inside.options, inside.head):
                if bad := wrong(ask(put_in(path, name))):
                    found.add((ask.__name__, path, name, bad))
    assert not found, "\n".join(map(str, sorted(found)))


def test_what_no_view_answers_is_a_problem_too(client, live_server):
    for status, answer in (
        (404, client.get("/nothing/")),
        (404, client.get("/jobs/", params={"format": "xml"})),
        (406, client.get("/jobs/", headers={"Accept": "text/html"})),
        (405, client.put("/jobs/")),
        (405, client.delete("/jobs/1/")),
        (401, httpx.get(f"{live_server.url}/api/v1/jobs/", headers={"Authorization": "Token a b"})),
        (400, httpx.get(f"{live_server.url}/api/v1/jobs/", headers={"Host": "elsewhere"})),
    ):
        assert (answer.status_code, wrong(answer)) == (status, ""), answer.text


def test_a_person_who_has_left_gets_nothing_done(client):
    User.objects.update(is_active=False)
    answer = client.post("/jobs/", json=JOB)
    assert (answer.status_code, wrong(answer)) == (401, "") and not Job.objects.exists()
