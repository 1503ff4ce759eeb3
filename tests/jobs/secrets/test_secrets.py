"""A secret of a job is given to its command and is found nowhere else: every place it could turn up in is looked at."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import connection
from rest_framework import serializers

from console.audit.models import AuditEvent
from hardware.ssh import runs
from hardware.ssh.supervisor import BOOT_ID, RUNS_DIR
from jobs.control import cancel
from jobs.failures import PlanRefused
from jobs.models import Job
from jobs.pipelines.deferral import defer, settle
from jobs.plan import Lane, Plan, RunCommand, Stage, Step
from jobs.secrets.models import JobSecret
from jobs.services import launch, plan
from jobs.states import JobState
from tests import secret_kind
from tests.console.pages import sign_in
from tests.faults import watch
from tests.worker import log_of, took, work

PASSWORD = "xyzzy-Öffne-dich-42"
READ = 'cat "$CONSOLE_SECRETS/password"'


@pytest.fixture
def guarded(machine):
    secret_kind.register()
    return machine


def begin(machine, command: str, **more: Any) -> Job:
    return launch("guarded", {"command": command, "password": PASSWORD, **more}, [machine], actor="ada")


def run_folder(job: Job) -> Path:
    return Path(RUNS_DIR) / job.steps.get().run_id


def whole_database() -> str:
    """Every row of every table, as text."""
    rows = []
    for model in apps.get_models(include_auto_created=True):
        with connection.cursor() as cursor:
            cursor.execute(f'SELECT * FROM "{model._meta.db_table}"')
            for row in cursor.fetchall():
                cells = [bytes(c).decode(errors="replace") if isinstance(c, bytes | memoryview) else c for c in row]
                rows.append(repr(cells))
    return "\n".join(rows)


def test_the_command_reads_the_secret_from_a_file_of_its_run_folder_that_nobody_else_may_read(guarded, tmp_path: Path):
    got = tmp_path / "got"
    look = f'stat -c %a "$CONSOLE_SECRETS" "$CONSOLE_SECRETS/password"; {READ} >{got}; ls "$CONSOLE_SECRETS"'
    job = work(begin(guarded, look))
    assert job.state == JobState.SUCCEEDED, job.failure
    assert got.read_text() == PASSWORD
    assert log_of(job) == b"700\n600\npassword\n"


def test_a_secret_of_several_lines_arrives_byte_for_byte(guarded, tmp_path: Path):
    key = "-----BEGIN KEY-----\n  'a\"b' $HOME `id` \\n%s\n-----END KEY-----\n"
    got = tmp_path / "got"
    job = work(begin(guarded, f'cat "$CONSOLE_SECRETS/token" >{got}; cat "$CONSOLE_SECRETS/token"', token=key))
    assert job.state == JobState.SUCCEEDED and got.read_bytes() == key.encode()
    assert b'a"b' not in log_of(job) and len(log_of(job)) == len(key.encode())


def test_while_the_command_runs_no_process_of_the_machine_shows_it_and_afterwards_the_file_is_gone(guarded):
    job = begin(guarded, f"echo up; {READ} >/dev/null; sleep 1.5; {READ}; false")
    seen: list[str] = []
    there: list[bool] = []
    done = threading.Event()

    def sample() -> None:
        while not done.is_set():
            seen.append(subprocess.run(["ps", "-eww", "-o", "args=", "e"], capture_output=True, text=True).stdout)
            there.append((run_folder(job) / "secrets/password").exists())
        connection.close()

    sampler = threading.Thread(target=sample)
    sampler.start()
    work(job)
    done.set()
    sampler.join()
    assert job.state == JobState.FAILED and any(there)
    running = [text for text in seen if f"{job.steps.get().run_id}/command" in text]
    assert len(running) > 3, "the run was not seen running"
    assert not any(PASSWORD in text for text in seen)
    # Its log on the machine held the secret: the folder is removed though the step failed.
    assert not run_folder(job).exists()


def test_it_is_in_no_log_no_error_no_audit_event_and_no_table(guarded):
    command = f'echo "the password is $({READ})"; {READ} | cut -c1-9 | tr -d "\\n"; sleep 0.3; {READ} | cut -c10-; ' \
        f'{READ} >&2; printf "\\nrefused: %s" "$({READ})"; exit 3'  # fmt: skip
    job = begin(guarded, command)
    assert PASSWORD not in whole_database(), "it is not encrypted while it is kept"
    assert JobSecret.objects.get().value == PASSWORD
    work(job)
    stars = "*" * len(PASSWORD.encode())
    assert (job.state, job.failure["code"]) == (JobState.FAILED, "command-failed")
    assert job.failure["cause"].endswith(f"refused: {stars}")
    assert log_of(job).decode() == f"the password is {stars}\n{stars}\n{stars}\nrefused: {stars}"
    assert job.log_length == len(log_of(job))
    text = whole_database()
    assert PASSWORD not in text and PASSWORD.encode().hex() not in text
    assert not JobSecret.objects.exists()
    assert PASSWORD not in json.dumps(list(AuditEvent.objects.values_list("detail", flat=True)))


def test_two_chunks_that_share_it_are_both_masked_and_the_log_is_as_long_as_what_was_written(guarded):
    head, tail = PASSWORD[:7], PASSWORD[7:]
    slowly = f"printf 'now {head}'; sleep 0.5; printf '{tail} done\\n'"
    job = launch("guarded", {"command": "true", "password": PASSWORD}, [guarded], actor="ada")
    # The command line itself must not hold it, so it is put together on the machine.
    step = job.steps.get()
    step.action["command"] = slowly
    step.save()
    work(job)
    assert log_of(job).decode() == f"now {'*' * len(PASSWORD.encode())} done\n"


def test_a_bug_of_ours_leaves_a_traceback_without_it(guarded):
    job = work(begin(guarded, READ, bug=True))
    assert job.state == JobState.ERRORED
    assert "RuntimeError: could not use ****" in job.traceback and PASSWORD not in job.traceback
    assert not JobSecret.objects.exists()
    # Nor a log on the machine in which it was printed.
    assert not run_folder(job).exists()


def test_a_bug_of_ours_on_one_machine_leaves_nothing_running_on_another(guarded, second, tmp_path: Path):
    """Its locks are free when the job is over: the next job must not meet what this one left, nor its secrets."""
    first, pid = tmp_path / "first", tmp_path / "pid"
    command = f"mkdir {first} 2>/dev/null && exit 0; echo $$ >{pid}; {READ}; exec sleep 60"
    params = {"command": command, "password": PASSWORD, "bug": True}
    job = work(launch("guarded", params, [guarded, second], actor="ada"))
    assert job.state == JobState.ERRORED and "RuntimeError: could not use ****" in job.traceback
    assert not pid.exists() or not watch.lives(pid.read_text().strip())
    assert sorted(job.steps.values_list("state", flat=True)) == ["cancelled", "failed"]
    assert not any((Path(RUNS_DIR) / step.run_id).exists() for step in job.steps.all())
    assert PASSWORD not in whole_database()


@pytest.mark.parametrize("end", ["true", "false"])
def test_a_worker_that_dies_before_it_removed_the_folder_leaves_that_to_the_next(guarded, monkeypatch, end: str):
    job = begin(guarded, f"{READ}; {end}")

    async def dies(*_: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as dying:
        dying.setattr(runs, "discard", dies)
        assert not took(job)
    assert PASSWORD in (run_folder(job) / "log").read_text()
    watch.expire(job)
    assert took(job) and job.state in (JobState.SUCCEEDED, JobState.FAILED)
    assert not run_folder(job).exists()


def test_the_plan_and_its_hash_do_not_depend_on_it(guarded):
    one, clean = plan("guarded", {"command": READ, "password": PASSWORD}, [guarded])
    other, _ = plan("guarded", {"command": READ, "password": "another one"}, [guarded])
    with_token, _ = plan("guarded", {"command": READ, "password": PASSWORD, "token": "a-token"}, [guarded])
    assert one.hash == other.hash != with_token.hash
    assert PASSWORD not in json.dumps(one.to_json()) and clean["password"] == "<secret password>"
    assert one.stages[0].lanes[0].steps[0].title == "Log in with <secret password>"


def test_a_cancelled_job_keeps_none(guarded):
    job = begin(guarded, "true")
    cancel(job, actor="ada")
    assert not JobSecret.objects.exists()


def test_a_killed_supervisor_leaves_none_on_the_machine(guarded):
    job = begin(guarded, "echo up; sleep 30")

    def kill() -> None:
        deadline = time.monotonic() + 10
        while not (run_folder(job) / "pid").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        for name in ("supervisor", "pid"):
            subprocess.run(["kill", "-9", (run_folder(job) / name).read_text().strip()], check=False)
        connection.close()

    killer = threading.Thread(target=kill)
    killer.start()
    work(job)
    killer.join()
    assert (job.state, job.failure["code"]) == (JobState.FAILED, "run-lost"), job.failure
    assert not (run_folder(job) / "secrets").exists()


@pytest.mark.parametrize("bad", ["abc", "   a   ", "nul\0inside"])
def test_one_that_could_not_be_kept_secret_is_refused_and_not_quoted(guarded, bad):
    with pytest.raises(PlanRefused) as refused:
        begin(guarded, "true", token=bad)
    assert refused.value.field == "token" and bad not in str(refused.value)
    assert not Job.objects.exists()


def test_a_refusal_does_not_quote_it(guarded):
    with pytest.raises(PlanRefused) as refused:
        launch("guarded", {"command": "true", "password": ["in a list"]}, [guarded], actor="ada")
    assert refused.value.field == "password" and "in a list" not in str(refused.value)


def test_a_command_that_reads_one_which_nobody_gave_is_refused_before_it_runs(guarded, monkeypatch):
    def careless(kind: object, params: dict[str, Any], targets: Any, depot: Any) -> Plan:
        return Plan(
            [Stage("Run", [Lane(t.name, [Step("x", "X", RunCommand("x", secrets=["token"]))]) for t in targets])]
        )

    monkeypatch.setattr(secret_kind.Guarded, "plan", careless)
    with pytest.raises(PlanRefused, match="token is a secret and was not given") as refused:
        begin(guarded, "true")
    assert refused.value.field == "token" and begin(guarded, "true", token="given").pk


def test_a_dry_run_shows_that_it_is_read_and_not_what_it_is(guarded, live_server):
    client = sign_in(live_server.url, User.objects.create_user("ada", is_staff=True))
    body = {"kind": "guarded", "params": {"command": READ, "password": PASSWORD}, "machines": ["host-1"]}
    shown = client.post("/api/v1/jobs/?dry_run=1", json=body)
    assert PASSWORD not in shown.text
    assert shown.json()["machines"][0]["steps"][0]["secrets"] == ["password"]
    data = {"kind": "guarded", "machine": "host-1", "params.command": READ, "params.password": PASSWORD, "do": "plan"}
    page = client.post("/jobs/new/", data=data)
    assert PASSWORD not in page.text and "$CONSOLE_SECRETS/password" in page.text


def test_a_retry_asks_for_it_again_and_names_the_field(guarded, live_server):
    client = sign_in(live_server.url, User.objects.create_user("ada", is_staff=True))
    body = {"kind": "guarded", "params": {"command": "false", "password": PASSWORD, "token": "tok-1234"}}
    made = client.post("/api/v1/jobs/", json={**body, "machines": ["host-1"]}, headers={"Idempotency-Key": "k"})
    assert made.status_code == 201 and PASSWORD not in made.text
    job = work(Job.objects.get())
    path = f"/api/v1/jobs/{job.pk}/retry/"
    for given, field in (({}, "password"), ({"password": PASSWORD}, "token")):
        answer = client.post(path, json={"machines": "all", "params": given})
        assert answer.status_code == 422 and answer.json()["code"] == "secret-needed"
        assert answer.json()["field"] == field and field in answer.json()["title"]
    again = client.post(path, json={"machines": "all", "params": {"password": PASSWORD, "token": "tok-1234"}})
    assert again.status_code == 201
    pages = [f"/jobs/{job.pk}/", f"/jobs/new/?retry_of={job.pk}&machines=all", "/jobs/"]
    paths = [f"/api/v1/jobs/{job.pk}/{part}" for part in ("", "steps/", "plan/", "log/")]
    for page in (*pages, *paths, "/api/v1/jobs/", "/api/v1/audit/"):
        assert PASSWORD not in client.get(page).text, page
    assert PASSWORD not in whole_database()


def test_an_address_with_a_secret_in_it_is_not_read(guarded, live_server):
    client = sign_in(live_server.url, User.objects.create_user("ada", is_staff=True))
    page = client.get("/jobs/new/?kind=guarded&machine=host-1&command=true&password=from-the-address")
    assert page.status_code == 200 and "plan_hash" not in page.text


class Quoting(secret_kind.Params):
    """What a careless kind's checks say."""

    def validate_password(self, value: str) -> str:
        if value.startswith("weak"):
            raise serializers.ValidationError(f"{value!r} is too weak.")
        if value.startswith("fault"):
            raise LookupError(f"nobody thought of {value}")
        return value


def test_no_page_quotes_one_that_a_kind_refuses_in_its_own_words(guarded, live_server, monkeypatch):
    monkeypatch.setattr(secret_kind.Guarded, "Params", Quoting)
    client = sign_in(live_server.url, User.objects.create_user("ada", is_staff=True))
    weak = 'weak-"öpen" 42'
    page = client.post(
        "/jobs/new/",
        data={"kind": "guarded", "machine": "host-1", "params.command": READ, "params.password": weak, "do": "plan"},
    )
    assert page.status_code == 422 and "pen" not in page.text.partition("is too weak.")[0][-60:]
    body = {"kind": "guarded", "params": {"command": READ, "password": weak}, "machines": ["host-1"]}
    said = client.post("/api/v1/jobs/", json=body)
    assert said.status_code == 422 and "is too weak." in said.text and "pen" not in said.json()["title"]


def test_a_fault_of_a_kinds_own_checks_brings_none_into_a_log(guarded, live_server, monkeypatch, caplog):
    monkeypatch.setattr(secret_kind.Guarded, "Params", Quoting)
    client = sign_in(live_server.url, User.objects.create_user("ada", is_staff=True))
    secret = "fault-xyzzy-42"
    body = {"kind": "guarded", "params": {"command": READ, "password": secret}, "machines": ["host-1"]}
    assert client.post("/api/v1/jobs/", json=body).status_code == 500
    data = {"kind": "guarded", "machine": "host-1", "params.command": READ, "params.password": secret, "do": "plan"}
    assert client.post("/jobs/new/", data=data).status_code == 500
    assert "nobody thought of" in caplog.text and secret not in caplog.text


def test_a_fault_in_planning_a_job_whose_turn_has_come_brings_none_into_a_log(guarded, monkeypatch, caplog):
    before = work(launch("command", {"command": "true"}, [guarded], actor="ada"))
    params = {"command": READ, "password": "fault-xyzzy-42"}
    job = defer("guarded", params, [guarded], [before.pk], actor="ada")
    monkeypatch.setattr(secret_kind.Guarded, "Params", Quoting)
    with caplog.at_level(logging.DEBUG):
        assert not settle(job.pk)
    job.refresh_from_db()
    assert job.state == JobState.ERRORED and "nobody thought of" in job.traceback
    assert "could not be planned" in caplog.text and "xyzzy" not in caplog.text + job.traceback
    assert not JobSecret.objects.exists()


def test_what_a_machine_kept_that_restarted_out_of_reach_goes_with_the_next_run_there(guarded):
    boot = Path(BOOT_ID).read_text()
    # Name: what the folder says of its boot and its supervisor, and whether the secrets are to stay.
    left = {
        "restarted": ("another\n", str(os.getpid()), False),
        "killed": (boot, "4194304", False),
        "under-way": (boot, str(os.getpid()), True),
        "being-started": ("", "", True),
        "being-started-too": (boot, "", True),
    }
    folders = {name: Path(RUNS_DIR) / f"left-{os.getpid()}-{name}" for name in left}
    try:
        for name, (boot_id, supervisor, _) in left.items():
            (folders[name] / "secrets").mkdir(parents=True)
            (folders[name] / "secrets/password").write_text(PASSWORD)
            for file, text in (("boot_id", boot_id), ("supervisor", supervisor)):
                if text:
                    (folders[name] / file).write_text(text)
        assert work(begin(guarded, "true")).state == JobState.SUCCEEDED
        assert {name: (folder / "secrets").exists() for name, folder in folders.items()} == {
            name: stays for name, (_, _, stays) in left.items()
        }
    finally:
        for folder in folders.values():
            shutil.rmtree(folder)
