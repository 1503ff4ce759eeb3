from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from rest_framework import serializers

from console.audit.models import AuditEvent
from jobs import registry
from jobs.control import cancel
from jobs.depot.models import Artifact
from jobs.depot.services import ingest
from jobs.kind import DepotView, Kind, Target
from jobs.models import Job
from jobs.plan import Lane, LocalCommand, Plan, Product, Stage, Step
from jobs.services import launch
from jobs.states import JobState
from tests.faults.processes import start_worker, take_over
from tests.worker import log_of, work

COPY = """
import json, os, shutil, sys
print("working in", sorted(os.listdir(".")), flush=True)
shutil.copyfile("in.txt", "out.txt")
print(json.dumps({"bytes": os.path.getsize("out.txt"), "secret": os.environ.get("CONSOLE_SECRET_KEY")}))
"""


class Params(serializers.Serializer[Any]):
    code = serializers.CharField()
    input = serializers.IntegerField()


class Local(Kind):
    slug = "local"
    title = "Local"
    targets = "none"
    Params = Params

    def plan(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> Plan:
        given = depot.get(params["input"])
        products = [Product("out.txt", "text", "copy.txt", meta={"from": given.sha256})]
        command = LocalCommand(["python", "-c", params["code"]], {"in.txt": given.sha256}, products)
        return Plan([Stage("Copy", [Lane(None, [Step("copy", "Copy", command)])])])


@pytest.fixture
def given(transactional_db, settings, tmp_path: Path) -> Artifact:
    registry.all_kinds()["local"] = Local()
    settings.DEPOT_DIR = tmp_path / "depot"
    return ingest(BytesIO(b"bytes of the input"), name="in.txt", type="text", actor="ada")


def go(code: str, given: Artifact) -> Job:
    job = launch("local", {"code": code, "input": given.pk}, [], actor="ada")
    work(job)
    return job


def alive(pid: str) -> bool:
    """Whether the process runs; one that has ended but was not reaped yet has no command line."""
    cmdline = Path(f"/proc/{pid}/cmdline")
    return cmdline.exists() and cmdline.read_bytes() != b""


def test_a_command_line_of_the_plan_runs_here_and_what_it_makes_is_in_the_depot(given, monkeypatch):
    monkeypatch.setenv("CONSOLE_SECRET_KEY", "never to be passed on")
    # The same bytes would be the same artifact.
    job = go(COPY.replace('"in.txt", "out.txt")', '"in.txt", "out.txt"); open("out.txt", "a").write("!")'), given)
    assert (job.state, job.queue) == (JobState.SUCCEEDED, "compute"), job.failure
    made = Artifact.objects.get(name="copy.txt")
    assert made.path.read_bytes() == b"bytes of the input!" and made.meta == {"from": given.sha256}
    assert (made.origin, made.created_by) == (f"job {job.pk}", f"job:{job.pk}")
    assert job.result["report"] == {"bytes": 19, "secret": None}
    assert [artifact["id"] for artifact in job.result["artifacts"]] == [made.pk]
    assert log_of(job).startswith(b"working in ['in.txt']\n")
    assert AuditEvent.objects.get(action="run.start").target == "console"


@pytest.mark.parametrize(
    ("code", "failure", "cause"),
    [
        ("import sys; print('it is no model', file=sys.stderr); sys.exit(2)", "input-refused", "no model"),
        ("raise SystemExit(7)", "command-failed", "exit code 7"),
        ("print('{}')", "product-missing", "out.txt"),
    ],
)  # fmt: skip
def test_a_command_line_that_does_not_do_what_it_should_fails_the_job_and_leaves_nothing(
    given, settings, code, failure, cause
):
    job = go(code, given)
    assert (job.state, job.failure["code"]) == (JobState.FAILED, failure) and cause in job.failure["cause"]
    assert Artifact.objects.count() == 1
    assert not list((settings.VAR_DIR / "work").iterdir())


def test_bytes_that_the_depot_lost_are_said(given):
    given.path.unlink()
    job = go(COPY, given)
    assert job.failure["code"] == "artifact-missing" and "in.txt" in job.failure["cause"]


def test_cancelling_ends_the_command_line_and_its_children(given, tmp_path: Path):
    code = f"""
import subprocess, time
child = subprocess.Popen(["sleep", "60"])
open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
print("up", flush=True)
time.sleep(60)
"""
    job = launch("local", {"code": code, "input": given.pk}, [], actor="ada")

    def stop() -> None:
        while not (tmp_path / "pid").exists():
            time.sleep(0.05)
        cancel(Job.objects.get(pk=job.pk), actor="ada")
        connection.close()

    stopper = threading.Thread(target=stop)
    stopper.start()
    work(job)
    stopper.join()
    assert job.state == JobState.CANCELLED
    assert not alive((tmp_path / "pid").read_text())


def test_a_killed_worker_takes_its_command_line_along_and_the_next_one_begins_anew(given, settings, tmp_path: Path):
    pids = tmp_path / "pids"
    code = f"""
import os, shutil, time
with open({str(pids)!r}, "a") as file: file.write(str(os.getpid()) + "\\n")
print("begun", sorted(os.listdir(".")), flush=True)
open("half", "w").write("half")
if len(open({str(pids)!r}).read().split()) == 1: time.sleep(60)
shutil.copyfile("in.txt", "out.txt"); open("out.txt", "a").write("!")
print("{{}}")
"""
    job = launch("local", {"code": code, "input": given.pk}, [], actor="ada")
    worker = start_worker(job, "tests.jobs.actions.test_local_steps:Local")
    while not pids.exists() or not log_of(job):
        time.sleep(0.05)
    worker.kill()
    take_over(job)
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 2), job.failure
    first, second = pids.read_text().split()
    assert first != second and not alive(first)
    # What the first attempt had half made was gone when the second began; both are in the log, in their order.
    assert log_of(job) == b"begun ['in.txt']\nbegun ['in.txt']\n{}\n"
