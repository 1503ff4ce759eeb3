"""What a request makes conditional is done under that condition, or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from django.contrib.auth.models import User
from rest_framework.authtoken.models import Token

from hardware.inventory.groups.models import Group
from jobs.models import Job
from tests.postgres import Postgres

JOB = {"kind": "command", "params": {"command": "true"}, "machines": ["host-1"]}


@pytest.fixture
def group(client: httpx.Client) -> str:
    client.post("/groups/", json={"name": "canaries", "machines": ["host-1"]}).raise_for_status()
    return "/groups/canaries/"


def test_what_has_changed_since_it_was_read_is_not_deleted(client, group):
    old = client.get(group).headers["ETag"]
    changed = client.patch(group, json={"note": "in use"}, headers={"If-Match": old})
    answer = client.delete(group, headers={"If-Match": old})
    assert (answer.status_code, answer.json()["code"]) == (412, "version-changed")
    assert Group.objects.exists()
    assert client.delete(group, headers={"If-Match": changed.headers["ETag"]}).status_code == 204


def test_a_tag_that_a_proxy_made_weak_is_the_same_tag(client, group):
    """One that compresses answers does: the version is none the less the one that was read."""
    weak = f"W/{client.get(group).headers['ETag']}"
    assert client.patch(group, json={"note": "x"}, headers={"If-Match": weak}).status_code == 200
    assert client.patch(group, json={"note": "y"}, headers={"If-Match": weak}).status_code == 412


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match", "If-Unmodified-Since"])
def test_a_condition_where_there_is_none_is_refused(client, header):
    answer = client.post("/jobs/", json=JOB, headers={header: '"x"'})
    assert (answer.status_code, answer.json()["code"]) == (400, "condition-not-read")
    assert not Job.objects.exists()


def test_a_condition_that_is_not_the_tag_is_refused_on_a_change(client, group):
    tag = client.get(group).headers["ETag"]
    headers = {"If-Match": tag, "If-Unmodified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"}
    answer = client.patch(group, json={"note": "x"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "condition-not-read")
    assert Group.objects.get().note == ""


def test_a_key_that_is_empty_is_no_key(client):
    """A script whose variable is not set is told so: it would count on what it has not asked for."""
    answer = client.post("/jobs/", json=JOB, headers={"Idempotency-Key": ""})
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency-key-empty")
    assert not Job.objects.exists()


def test_the_same_key_at_the_same_moment_does_the_thing_once(client):
    def launch(_number: int) -> httpx.Response:
        return client.post("/jobs/", json=JOB, headers={"Idempotency-Key": "same"})

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(launch, range(16)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1 and Job.objects.count() == 1


def test_a_key_is_one_persons_and_one_requests(client, live_server):
    key = {"Idempotency-Key": "k"}
    mine = client.post("/jobs/", json=JOB, headers=key).json()["id"]
    other = Token.objects.create(user=User.objects.create_user("ada"))
    headers = {**key, "Authorization": f"Token {other.key}"}
    theirs = httpx.post(f"{live_server.url}/api/v1/jobs/", json=JOB, headers=headers).json()["id"]
    assert mine != theirs
    for path, body in (
        ("/groups/", {"name": "g", "machines": ["host-1"]}),
        (f"/jobs/{mine}/retry/", {"machines": "all"}),
    ):
        client.post(f"/jobs/{mine}/cancel/")
        answer = client.post(path, json=body, headers=key)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency-key-reused"), path


def test_a_key_is_refused_where_it_would_do_nothing(client):
    """Where an action may not be repeated safely, a key is read; where it is not read, that is said."""
    made = client.post("/credentials/", json={"name": "lab-2", "password": "x"}).json()["id"]
    key = {"Idempotency-Key": "k"}
    first, again = (client.post(f"/credentials/{made}/new-key/", json={}, headers=key) for _ in range(2))
    assert first.status_code == again.status_code == 201, again.text
    assert first.json() == again.json()


def test_what_several_ask_at_one_moment_is_done_once_on_postgresql(postgres: Postgres, tmp_path: Path):
    """SQLite has one writer; here transactions are open beside each other."""
    environment = {
        **os.environ, "DJANGO_SETTINGS_MODULE": "console.settings", "DATABASE_URL": postgres.url,
        "CONSOLE_VAR": str(tmp_path),
    }  # fmt: skip
    command = [sys.executable, "-m", "tests.console.api.at_once"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=150)
    rounds = [json.loads(line) for line in done.stdout.splitlines()]
    once = {"change": [200, *[412] * 5], "key": [201] * 6, "run-now": [201, *[422] * 5]}
    assert len(rounds) == 15
    for one in rounds:
        assert one["codes"] == once[one["what"]], one
        assert one["what"] != "key" or one["texts"] == 1, one
