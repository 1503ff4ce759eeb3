"""Pausing, resuming, time limits, batches and tolerated failures, on real machines."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from hardware.inventory.models import Machine
from jobs.control import cancel, pause, resume
from jobs.engine.leases import claim
from jobs.failures import PlanRefused
from jobs.models import Job, MachineLock
from jobs.options import Options
from jobs.services import launch
from jobs.states import JobState
from tests.machines import make_machine
from tests.worker import log_of, took, work


def moves(job: Job) -> list[tuple[str, str, str]]:
    return list(job.transitions.values_list("from_state", "to_state", "actor"))


def meanwhile(when: Callable[[], bool], do: Callable[[], object]) -> threading.Thread:
    """Do something from another thread as soon as it is time for it."""

    def go() -> None:
        deadline = time.monotonic() + 20
        while not when() and time.monotonic() < deadline:
            time.sleep(0.02)
        do()
        connection.close()

    thread = threading.Thread(target=go)
    thread.start()
    return thread


def states(job: Job) -> list[str]:
    return list(job.steps.order_by("stage", "lane", "position").values_list("state", flat=True))


def test_a_job_pauses_before_the_step_that_was_named_keeps_its_machine_and_goes_on_when_told(machine):
    params = {"command": "echo one", "then": "echo two"}
    job = launch("command", params, [machine], actor="ada", options=Options(pause_before=("then",)))
    work(job)
    assert (job.state, states(job)) == (JobState.PAUSED, ["succeeded", "pending"])
    assert job.lease_until is None and MachineLock.objects.get().job_id == job.pk
    assert not took(job), "a paused job is nobody's to take"
    assert resume(job, actor="bob") and not resume(job, actor="bob")
    work(job)
    assert job.state == JobState.SUCCEEDED and log_of(job) == b"one\ntwo\n"
    assert moves(job) == [
        ("", "queued", "ada"),
        ("queued", "running", "worker:worker"),
        ("running", "paused", "worker:worker"),
        ("paused", "queued", "bob"),
        ("queued", "running", "worker:worker"),
        ("running", "succeeded", "worker:worker"),
    ]


def test_a_running_job_finishes_what_runs_then_pauses(machine, tmp_path: Path):
    job = launch("command", {"command": f"touch {tmp_path}/up; sleep 3", "then": "echo two"}, [machine], actor="ada")
    asking = meanwhile((tmp_path / "up").exists, lambda: pause(Job.objects.get(pk=job.pk), actor="bob"))
    work(job)
    asking.join()
    assert (job.state, states(job)) == (JobState.PAUSED, ["succeeded", "pending"])
    assert ("running", "pausing", "bob") in moves(job)


def test_a_step_of_a_running_job_can_still_be_marked(machine, tmp_path: Path):
    job = launch("command", {"command": f"touch {tmp_path}/up; sleep 1", "then": "echo two"}, [machine], actor="ada")
    mark = meanwhile((tmp_path / "up").exists, lambda: pause(Job.objects.get(pk=job.pk), actor="bob", before="then"))
    work(job)
    mark.join()
    assert (job.state, states(job)) == (JobState.PAUSED, ["succeeded", "pending"])
    with pytest.raises(PlanRefused, match="no step first"):
        pause(job, actor="bob", before="first")


def test_a_job_that_is_told_to_go_on_while_it_pauses_goes_on(machine, tmp_path: Path):
    job = launch("command", {"command": f"touch {tmp_path}/up; sleep 4", "then": "echo two"}, [machine], actor="ada")

    def think_twice() -> None:
        assert pause(Job.objects.get(pk=job.pk), actor="bob")
        time.sleep(2.2)
        assert resume(Job.objects.get(pk=job.pk), actor="bob")

    asking = meanwhile((tmp_path / "up").exists, think_twice)
    work(job)
    asking.join()
    assert job.state == JobState.SUCCEEDED


def test_a_paused_job_that_is_cancelled_frees_its_machine_for_the_one_that_waits(machine):
    job = launch("command", {"command": "true"}, [machine], actor="ada", options=Options(pause_before=("then",)))
    work(job)
    other = launch("command", {"command": "true"}, [machine], actor="ada")
    assert not took(other)
    assert (other.state, other.waits_for, other.waits_on["machines"]) == (JobState.WAITING, job, ["host-1"])
    assert cancel(job, actor="ada") and job.state == JobState.CANCELLED
    assert took(other) and other.state == JobState.SUCCEEDED
    assert states(job) == ["succeeded", "pending"]


def test_a_job_that_has_not_begun_is_paused_at_once_and_holds_nothing(machine):
    job = launch("command", {"command": "true"}, [machine], actor="ada")
    assert pause(job, actor="ada") and job.state == JobState.PAUSED and not MachineLock.objects.exists()
    assert claim(job.pk, "w") is None
    assert resume(job, actor="ada") and work(job).state == JobState.SUCCEEDED


def test_a_job_that_takes_longer_than_it_may_is_stopped_and_says_so(machine, tmp_path: Path):
    params = {"command": f"echo up; sleep 30; touch {tmp_path}/late", "then": "true"}
    job = launch("command", params, [machine], actor="ada", options=Options(timeout_s=1))
    work(job)
    assert (job.state, job.failure["code"]) == (JobState.FAILED, "job-timeout") and "1 s" in job.failure["cause"]
    assert states(job) == ["cancelled", "pending"] and not (tmp_path / "late").exists()


def test_the_time_for_the_whole_job_stands_still_while_it_is_paused(machine):
    options = Options(timeout_s=60, pause_before=("then",))
    job = launch("command", {"command": "true"}, [machine], actor="ada", options=options)
    work(job)
    before = job.deadline
    Job.objects.filter(pk=job.pk).update(paused_at=timezone.now() - timedelta(hours=1))
    assert resume(job, actor="ada") and job.deadline is not None and before is not None
    assert job.deadline - before > timedelta(minutes=59)


@pytest.fixture
def six(machine: Machine, sshd) -> list[Machine]:
    return [machine, *(make_machine(f"host-{number}", sshd) for number in range(2, 7))]


def failing_on(folder: Path, *names: str) -> str:
    """A command that notes its starts in order; the n-th of them fails for each n that is named."""
    fails = " || ".join(f"[ $n = {name} ]" for name in names) or "false"
    # Machines of a batch start it side by side: whoever makes the folder has the number.
    number = f"mkdir -p {folder}; n=1; until mkdir {folder}/$n 2>/dev/null; do n=$((n+1)); done"
    return f"{number}; if {fails}; then exit 1; fi"


def test_batches_are_in_the_plan_and_the_next_one_begins_after_the_one_before(six, tmp_path: Path):
    seen = tmp_path / "seen"
    job = launch(
        "command",
        {"command": f"mkdir {tmp_path}/busy-$$ && sleep 0.3; ls -d {tmp_path}/busy-* | wc -l >>{seen}; "
         f"rmdir {tmp_path}/busy-$$"},
        six, actor="ada", options=Options(batch_size=2),
    )  # fmt: skip
    assert [stage["title"] for stage in job.plan["stages"]] == ["Run (1 of 3)", "Run (2 of 3)", "Run (3 of 3)"]
    work(job)
    assert job.state == JobState.SUCCEEDED
    assert max(int(line) for line in seen.read_text().split()) <= 2 and len(seen.read_text().split()) == 6


def test_when_more_machines_fail_than_are_tolerated_nothing_more_is_begun(six, tmp_path: Path):
    options = Options(batch_size=1, tolerate="1")
    job = launch("command", {"command": failing_on(tmp_path / "n", "1", "3")}, six, actor="ada", options=options)
    assert job.plan["tolerate"] == 1
    work(job)
    assert (job.state, job.failure["code"]) == (JobState.FAILED, "command-failed")
    assert job.failure["cause"].startswith("2 machines failed. The first: ")
    assert states(job)[::2] == ["failed", "succeeded", "failed", "pending", "pending", "pending"]


def test_tolerated_failures_let_the_others_be_finished_and_the_job_says_that_it_failed(six, tmp_path: Path):
    options = Options(batch_size=2, tolerate="34%")
    job = launch("command", {"command": failing_on(tmp_path / "n", "2")}, six, actor="ada", options=options)
    assert job.plan["tolerate"] == 2
    work(job)
    assert job.state == JobState.FAILED and states(job).count("succeeded") == 10
    assert {machine.name for machine in six} > {step.machine.name for step in job.steps.filter(state="failed")}


def test_machines_beyond_the_number_at_a_time_are_not_begun_after_a_failure(six, tmp_path: Path):
    job = launch("command", {"command": failing_on(tmp_path / "n", "1")}, six, actor="ada", options=Options(parallel=1))
    work(job)
    assert states(job)[::2] == ["failed"] + ["pending"] * 5


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"priority": 101}, "options.priority"),
        ({"tolerate": "half"}, "options.tolerate"),
        ({"parallel": 0}, "options.parallel"),
        ({"not_before": "tomorrow"}, "options.not_before"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_with_its_field(options, field):
    with pytest.raises(PlanRefused) as refused:
        Options.checked(options)
    assert refused.value.field == field


def test_a_pause_before_a_step_that_the_plan_does_not_have_is_refused(machine):
    with pytest.raises(PlanRefused, match="No step of the plan is called reboot"):
        launch("command", {"command": "true"}, [machine], actor="ada", options=Options(pause_before=("reboot",)))


def test_over_rest_a_job_is_launched_with_options_paused_resumed_and_shows_its_moves(machine, admin_user):
    client = APIClient()
    client.force_authenticate(admin_user)
    body = {
        "kind": "command", "params": {"command": "true"}, "machines": ["host-1"],
        "options": {"priority": 70, "pause_before": ["then"]},
    }  # fmt: skip
    made = client.post("/api/v1/jobs/", body, format="json").json()
    assert made["options"]["priority"] == 70 and made["state"] == "queued"
    job = Job.objects.get(pk=made["id"])
    assert job.priority == 70 and work(job).state == JobState.PAUSED
    assert client.post(f"/api/v1/jobs/{job.pk}/resume/").json()["state"] == "queued"
    work(job)
    said = client.get(f"/api/v1/jobs/{job.pk}/transitions/").json()
    assert [move["to_state"] for move in said] == ["queued", "running", "paused", "queued", "running", "succeeded"]
    assert said[2]["reason"] == {"before": ["then"]} and said[3]["actor"] == "admin"
    wrong = client.post("/api/v1/jobs/", {**body, "options": {"tolerate": "x"}}, format="json")
    assert wrong.status_code == 400 and "tolerate" in str(wrong.json())
    late = client.post(f"/api/v1/jobs/{job.pk}/pause/", {"before": "then"}, format="json")
    assert late.status_code == 422 and "no step then" in str(late.json())


def test_over_rest_a_job_is_aimed_at_labels_or_a_group(machine, second, admin_user):
    client = APIClient()
    client.force_authenticate(admin_user)
    Machine.objects.filter(pk=second.pk).update(labels=["canary"], site="lab")
    client.post("/api/v1/groups/", {"name": "both", "machines": ["host-1", "host-2"]}, format="json")
    body = {"kind": "command", "params": {"command": "true"}}

    def aimed(targets: dict) -> list[str]:
        made = client.post("/api/v1/jobs/", {**body, "targets": targets}, format="json").json()
        return sorted(made["machines"])

    assert aimed({"site": "lab", "labels": ["canary"]}) == ["host-2"]
    assert aimed({"group": "both"}) == ["host-1", "host-2"]
    wrong = client.post("/api/v1/jobs/", {**body, "targets": {"group": "none"}}, format="json")
    assert wrong.status_code == 422 and "no group called none" in str(wrong.json())
    both = client.post("/api/v1/jobs/", {**body, "machines": ["host-1"], "targets": {"group": "both"}}, format="json")
    assert both.status_code == 400 and "not both" in str(both.json())
    nobody = client.post("/api/v1/jobs/", body, format="json")
    assert nobody.status_code == 422 and "at least one machine" in str(nobody.json())
