from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from console.audit.models import AuditEvent
from hardware.inventory.models import Credential
from jobs.control import cancel
from jobs.engine import runner
from jobs.engine.checkpoints import end
from jobs.engine.leases import claim, give_up_leases, renew
from jobs.failures import LeaseLost, PlanRefused
from jobs.logs.logbook import append
from jobs.logs.reading import read
from jobs.models import Job, MachineLock
from jobs.services import launch, plan
from jobs.states import JobState
from tests.worker import log_of, took, work


def test_a_job_runs_its_steps_in_order_and_keeps_its_whole_log(machine):
    job = launch("command", {"command": "echo one", "then": "echo two"}, [machine], actor="ada")
    work(job)
    assert job.state == JobState.SUCCEEDED, job.failure
    assert log_of(job) == b"one\ntwo\n"
    assert [c.position for c in read(job.pk, 0)] == [0, 4] and job.log_length == 8
    assert [c.position for c in read(job.pk, 4)] == [4]
    assert list(job.steps.values_list("state", "exit_status")) == [("succeeded", 0)] * 2


def test_a_step_that_fails_ends_the_job_with_code_cause_and_mend_and_undoes_what_its_plan_says(machine, tmp_path: Path):
    undone = tmp_path / "undone"
    params = {"command": "echo no such device; exit 3", "then": "echo never", "on_failure": f"touch {undone}"}
    job = launch("command", params, [machine], actor="ada")
    work(job)
    assert job.state == JobState.FAILED
    assert job.failure["code"] == "command-failed" and "exit code 3: no such device" in job.failure["cause"]
    assert job.failure["mend"] and undone.exists()
    assert [s.state for s in job.steps.all()] == ["failed", "pending", "succeeded"]
    assert not MachineLock.objects.exists()


def test_an_ended_job_is_not_run_again(machine):
    job = launch("command", {"command": "true"}, [machine], actor="ada")
    assert took(job) and not took(job)
    assert job.attempt == 1


def test_a_second_job_on_a_machine_waits_and_says_for_which(machine, second):
    one = launch("command", {"command": "true"}, [machine], actor="ada")
    other = launch("command", {"command": "true"}, [second, machine], actor="ada")
    assert claim(one.pk, "w1") is not None
    assert claim(other.pk, "w2") is None
    other.refresh_from_db()
    assert (other.state, other.waits_for) == (JobState.WAITING, one)
    # All or nothing: the free machine was not locked either, so no two jobs can wait for each other.
    assert set(MachineLock.objects.values_list("machine", flat=True)) == {machine.pk}
    Job.objects.filter(pk=one.pk).update(lease_until="2000-01-01T00:00Z")
    took(one, "w3")
    took(other, "w2")
    assert (one.state, other.state) == (JobState.SUCCEEDED, JobState.SUCCEEDED)


def test_a_write_that_a_worker_had_under_way_when_it_left_does_not_make_its_lease_last_again(machine):
    job = launch("command", {"command": "true"}, [machine], actor="ada")
    lease, _ = claim(job.pk, "w1")
    assert lease is not None
    give_up_leases("w1")
    assert renew("w1", [lease]) == {}
    with pytest.raises(LeaseLost):
        append(lease, job.steps.first(), "run:x", 0, b"late")
    with pytest.raises(LeaseLost):
        end(lease, JobState.SUCCEEDED)
    assert claim(job.pk, "w2") is not None


def test_a_stale_worker_writes_nothing(machine):
    job = launch("command", {"command": "true"}, [machine], actor="ada")
    stale, _ = claim(job.pk, "w1")
    assert stale is not None and claim(job.pk, "w2") is None
    Job.objects.filter(pk=job.pk).update(lease_until="2000-01-01T00:00Z")
    fresh, _ = claim(job.pk, "w2")
    assert fresh is not None and fresh.attempt == 2
    with pytest.raises(LeaseLost):
        append(stale, job.steps.first(), "run:x", 0, b"late")
    with pytest.raises(LeaseLost):
        end(stale, JobState.SUCCEEDED)
    job.refresh_from_db()
    assert (job.state, job.lease_owner, job.log_sha256) == (JobState.RUNNING, "w2", "")
    append(fresh, job.steps.first(), "run:x", 0, b"mine")
    append(fresh, job.steps.first(), "run:x", 0, b"mine")
    assert log_of(job) == b"mine"


def test_cancelling_ends_what_runs_and_what_waits(machine, tmp_path: Path):
    waiting = launch("command", {"command": "true"}, [machine], actor="ada")
    assert cancel(waiting, actor="ada") and not cancel(waiting, actor="ada")
    job = launch(
        "command", {"command": f"echo up; sleep 60; touch {tmp_path}/late", "then": "true"}, [machine], actor="ada"
    )

    def stop() -> None:
        time.sleep(1.5)
        cancel(Job.objects.get(pk=job.pk), actor="ada")
        connection.close()

    stopper = threading.Thread(target=stop)
    stopper.start()
    began = time.monotonic()
    work(job)
    stopper.join()
    assert job.state == JobState.CANCELLED and time.monotonic() - began < 20
    assert log_of(job) == b"up\n"
    assert [s.state for s in job.steps.all()] == ["cancelled", "pending"]


def test_a_command_that_takes_longer_than_it_may_is_stopped_and_says_so(machine, tmp_path: Path):
    params = {"command": f"echo up; sleep 30; touch {tmp_path}/late", "timeout_s": 1}
    job = launch("command", params, [machine], actor="ada")
    work(job)
    assert (job.state, job.failure["code"]) == (JobState.FAILED, "command-timeout"), job.failure
    assert log_of(job) == b"up\n" and not (tmp_path / "late").exists()


def test_the_same_input_gives_the_same_plan_and_another_one_another_hash(machine):
    one, _ = plan("command", {"command": "true"}, [machine])
    same, _ = plan("command", {"command": "true"}, [machine])
    other, _ = plan("command", {"command": "false"}, [machine])
    assert one.hash == same.hash != other.hash
    with pytest.raises(PlanRefused, match="no longer"):
        launch("command", {"command": "false"}, [machine], actor="ada", approved_hash=one.hash)
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("slug", "params", "field"),
    [("nothing", {}, "kind"), ("command", {}, "command"), ("command", {"command": "x"}, "targets")],
)
def test_what_can_not_be_planned_is_refused_with_its_field(machine, slug, params, field):
    with pytest.raises(PlanRefused) as refused:
        launch(slug, params, [] if field == "targets" else [machine], actor="ada")
    assert refused.value.field == field and refused.value.mend


def test_a_machine_that_can_not_be_reached_fails_the_job_and_names_it(machine):
    machine.port = 1
    machine.save()
    job = launch("command", {"command": "true"}, [machine], actor="ada")
    work(job)
    assert (job.state, job.failure["code"]) == (JobState.FAILED, "ssh-unreachable")
    assert "host-1" in job.failure["cause"]


def test_every_decision_and_every_remote_command_is_in_the_trail(machine):
    job = launch("command", {"command": "echo one"}, [machine], actor="ada")
    work(job)
    trail = list(AuditEvent.objects.order_by("id").values_list("action", "actor"))
    assert trail == [
        ("job.launch", "ada"),
        ("run.start", f"job:{job.pk}"),
        ("run.start", f"job:{job.pk}"),
        ("job.succeeded", "console"),
    ]
    assert AuditEvent.objects.get(action="run.start", detail__command="echo one").target == "machine:host-1"


def test_a_secret_is_not_readable_in_the_database(machine):
    with connection.cursor() as cursor:
        cursor.execute("SELECT password FROM inventory_credential")
        (stored,) = cursor.fetchone()
    assert Credential.objects.get().password not in stored


def test_a_beat_that_comes_as_a_job_ends_does_not_make_it_somebody_elses(machine, monkeypatch: pytest.MonkeyPatch):
    stored = runner.write

    async def told_late(call: Any, *arguments: Any, **named: Any) -> Any:
        """The end is in the database; the loop has much to do before it hears of it."""
        result = await stored(call, *arguments, **named)
        await asyncio.sleep(0.1 if call is end else 0)
        return result

    monkeypatch.setattr("jobs.engine.runner.BEAT_SECONDS", 0.01)
    monkeypatch.setattr("jobs.engine.runner.write", told_late)
    job = launch("command", {"command": "true"}, [machine], actor="ada")
    assert took(job) and job.state == JobState.SUCCEEDED
