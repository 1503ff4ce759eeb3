"""Four eyes: what waits for a second person, what is signed, and that nothing else than that ever runs."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from console.audit.models import AuditEvent
from hardware.inventory.models import Machine
from jobs import control
from jobs.approvals import rules
from jobs.approvals.failures import NotWaiting, OtherPlan, OwnProposal, PlanChanged
from jobs.approvals.models import Approval
from jobs.approvals.services import approve, ask_again, reject
from jobs.engine.leases import claim
from jobs.failures import PlanRefused
from jobs.models import Job, JobTransition
from jobs.options import Options
from jobs.schedules.models import Schedule
from jobs.secrets.models import JobSecret
from jobs.services import launch
from jobs.states import JobState
from tests.jobs.approvals import factual
from tests.worker import took, work


@pytest.fixture
def host(machine) -> Machine:
    factual.register()
    return factual.say(machine, kernel="one")


def propose(host: Machine, file: Path, *, actor: str = "ada", **more: Any) -> Job:
    more.setdefault("propose", True)
    return launch("factual", {"touch": str(file)}, more.pop("machines", [host]), actor=actor, **more)


def moves(job: Job) -> list[tuple[str, str, str]]:
    return list(JobTransition.objects.filter(job=job).order_by("pk").values_list("from_state", "to_state", "actor"))


def test_a_proposal_runs_only_once_another_person_has_signed_its_plan(host, tmp_path: Path):
    job = propose(host, tmp_path / "ran")
    assert job.state == JobState.PROPOSED and not took(job) and claim(job.pk, "w") is None
    approval = approve(job.approval, actor="grace", comment="looks right", seen_hash=job.plan_hash)
    assert (approval.state, approval.decided_by, approval.comment) == ("approved", "grace", "looks right")
    assert approval.plan_hash == job.plan_hash and approval.decided_at is not None
    job.refresh_from_db()
    assert job.state == JobState.QUEUED
    assert work(job).state == JobState.SUCCEEDED and (tmp_path / "ran").exists()
    assert moves(job)[:2] == [("", "proposed", "ada"), ("proposed", "queued", "grace")]
    trail = AuditEvent.objects.filter(action__startswith="approval").order_by("pk")
    assert list(trail.values_list("action", "actor")) == [("approval.ask", "ada"), ("approval.approve", "grace")]
    assert trail[1].detail == {"plan": job.plan_hash, "comment": "looks right"}


def test_who_asked_may_neither_approve_nor_reject(host, tmp_path: Path):
    job = propose(host, tmp_path / "ran")
    for decide in (approve, reject):
        with pytest.raises(OwnProposal, match=r"ada asked for job .* another person has to decide") as refused:
            decide(job.approval, actor="ada")
        assert refused.value.status == 403
    assert Job.objects.get().state == JobState.PROPOSED


def test_a_rejected_proposal_never_runs_and_says_why(host, tmp_path: Path):
    job = propose(host, tmp_path / "ran")
    reject(job.approval, actor="grace", comment="not on a Friday")
    job.refresh_from_db()
    assert (job.state, job.failure["code"]) == (JobState.CANCELLED, "approval-rejected")
    assert job.failure["cause"] == "grace did not approve it: not on a Friday" and not took(job)
    assert job.approval.state == "rejected"
    with pytest.raises(NotWaiting):
        approve(job.approval, actor="linus")


def test_a_decision_that_is_sent_twice_is_taken_once(host, tmp_path: Path):
    job = propose(host, tmp_path / "ran")
    first = approve(job.approval, actor="grace")
    again = approve(Approval.objects.get(), actor="grace")
    assert first.decided_at == again.decided_at and len(moves(job)) == 2
    with pytest.raises(NotWaiting, match="is approved"):
        reject(Approval.objects.get(), actor="linus")


def test_of_those_who_decide_at_the_same_time_one_does(host, tmp_path: Path):
    job = propose(host, tmp_path / "ran")
    start, said, wrong = threading.Barrier(3), [], []

    def decide(call: Any, actor: str) -> None:
        approval = Approval.objects.select_related("job").get(pk=job.pk)
        start.wait()
        try:
            if call(approval, actor=actor):
                said.append(actor)
        except NotWaiting:
            pass
        except Exception as other:
            wrong.append(other)
        finally:
            connection.close()

    def withdraw(approval: Approval, actor: str) -> bool:
        return control.cancel(approval.job, actor=actor) and Approval.objects.get().state == "withdrawn"

    calls = ((approve, "grace"), (reject, "linus"), (withdraw, "ada"))
    threads = [threading.Thread(target=decide, args=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [] and len(said) == 1
    job.refresh_from_db()
    approval = Approval.objects.get()
    assert approval.decided_by == said[0]
    # Who asked may still cancel what was approved.
    ended = {"grace": {"queued", "cancelled"}, "linus": {"cancelled"}, "ada": {"cancelled"}}
    assert job.state in ended[said[0]]


def test_another_plan_than_the_one_that_waits_is_not_approved(host, tmp_path: Path):
    job = propose(host, tmp_path / "ran")
    with pytest.raises(OtherPlan):
        approve(job.approval, actor="grace", seen_hash="0" * 64)
    assert Approval.objects.get().state == "waiting"


def test_facts_that_change_the_plan_lapse_the_approval_and_say_what_differs(host, second, tmp_path: Path):
    factual.say(second, kernel="one")
    job = propose(host, tmp_path / "ran", machines=[second, host])
    factual.say(second, kernel="two")
    with pytest.raises(PlanChanged) as lapsed:
        approve(job.approval, actor="grace")
    command = f"; touch {tmp_path}/ran"
    expected = [
        {"machine": "host-2", "step": "only", "field": "command", "before": f"echo one{command}",
         "after": f"echo two{command}"},
        {"machine": "host-2", "step": "more", "field": "step", "before": None, "after": "More"},
    ]  # fmt: skip
    assert lapsed.value.more["differs"] == expected
    job.refresh_from_db()
    approval = Approval.objects.get()
    assert (approval.state, approval.differs, approval.decided_by) == ("lapsed", expected, "")
    assert (job.state, job.failure["code"]) == (JobState.CANCELLED, "plan-changed")
    assert "host-2: only command; host-2: more step" in job.failure["cause"] and job.failure["mend"]
    assert AuditEvent.objects.get(action="approval.lapse").detail["differs"] == expected
    assert not took(job) and not (tmp_path / "ran").exists()


def test_facts_that_leave_the_plan_as_it_is_do_not_lapse_it(host, tmp_path: Path):
    job = propose(host, tmp_path / "ran")
    factual.say(host, memory_free=5, docker="26.1", boot_id="another")
    Machine.objects.update(facts_at=timezone.now(), port=host.port, site="elsewhere")
    approve(job.approval, actor="grace")
    factual.say(host, memory_free=6, hostname="renamed")
    assert work(job).state == JobState.SUCCEEDED, job.failure


def test_what_was_left_empty_is_not_taken_for_what_is_usual_when_it_is_planned_anew(host, tmp_path: Path):
    params = {"touch": str(tmp_path / "ran"), "words": ""}
    job = launch("factual", params, [host], actor="ada", propose=True)
    assert approve(job.approval, actor="grace").state == "approved" and work(job).state == JobState.SUCCEEDED


def test_a_plan_that_changes_between_approval_and_start_is_not_run(host, tmp_path: Path):
    job = propose(host, tmp_path / "ran", options=Options(not_before=timezone.now() + timedelta(hours=5)))
    approve(job.approval, actor="grace")
    assert not took(job) and job.state == JobState.WAITING
    factual.say(host, kernel="two")
    options = {**job.options, "not_before": None}
    Job.objects.filter(pk=job.pk).update(options=options)
    work(job)
    assert (job.state, job.failure["code"]) == (JobState.CANCELLED, "plan-changed"), job.failure
    assert not (tmp_path / "ran").exists() and {s.started_at for s in job.steps.all()} == {None}
    approval = Approval.objects.get()
    assert approval.state == "lapsed" and approval.decided_by == "grace"
    assert [d["field"] for d in approval.differs] == ["command", "step"]
    # Its machines are free again.
    other = launch("factual", {"touch": str(tmp_path / "other")}, [host], actor="ada")
    assert work(other).state == JobState.SUCCEEDED


def test_a_plan_that_was_changed_where_it_is_stored_is_not_run(host, tmp_path: Path):
    job = propose(host, tmp_path / "ran")
    approve(job.approval, actor="grace")
    job.plan["stages"][0]["lanes"][0]["steps"][0]["action"]["command"] = "echo something else"
    Job.objects.filter(pk=job.pk).update(plan=job.plan)
    work(job)
    assert (job.state, job.failure["code"]) == (JobState.CANCELLED, "plan-changed")


def test_a_job_that_has_begun_is_not_stopped_by_new_facts(host, tmp_path: Path):
    job = propose(host, tmp_path / "ran", options=Options())
    approve(job.approval, actor="grace")
    job.steps.update(started_at=timezone.now())
    factual.say(host, kernel="two")
    assert work(job).state == JobState.SUCCEEDED


def test_a_request_that_can_no_longer_be_planned_lapses_with_the_reason(host, tmp_path: Path):
    job = propose(host, tmp_path / "ran")
    Machine.objects.filter(pk=host.pk).update(state=Machine.State.BLOCKED)
    with pytest.raises(PlanChanged, match="host-1 is blocked"):
        approve(job.approval, actor="grace")
    assert Approval.objects.get().differs[0]["field"] == "plan"


def test_what_preflight_blocks_now_is_refused_but_goes_on_waiting(host, tmp_path: Path):
    job = propose(host, tmp_path / "ran")
    factual.say(host, docker="broken")
    with pytest.raises(PlanRefused, match="docker is broken"):
        approve(job.approval, actor="grace")
    factual.say(host, docker="26.1")
    assert approve(Approval.objects.get(), actor="grace").state == "approved"


def test_asking_again_is_a_new_proposal_with_the_plan_of_now(host, tmp_path: Path):
    job = propose(host, tmp_path / "ran")
    factual.say(host, kernel="two")
    with pytest.raises(PlanChanged):
        approve(job.approval, actor="grace")
    fresh = ask_again(Approval.objects.get(), actor="ada")
    assert (fresh.state, fresh.retry_of) == (JobState.PROPOSED, job) and fresh.plan_hash != job.plan_hash
    approve(fresh.approval, actor="grace")
    assert work(fresh).state == JobState.SUCCEEDED


def test_a_proposal_that_is_cancelled_is_withdrawn(host, tmp_path: Path):
    job = propose(host, tmp_path / "ran")
    control.cancel(job, actor="ada")
    approval = Approval.objects.get()
    assert (approval.state, approval.decided_by) == ("withdrawn", "ada")
    with pytest.raises(NotWaiting):
        approve(approval, actor="grace")
    assert AuditEvent.objects.filter(action="approval.withdraw", actor="ada").exists()


def test_a_secret_waits_with_its_proposal_and_goes_with_it(host, tmp_path: Path):
    params = {"touch": str(tmp_path / "ran"), "password": "swordfish"}
    job = launch("factual", params, [host], actor="ada", propose=True)
    approve(job.approval, actor="grace")
    assert JobSecret.objects.get().value == "swordfish"
    assert work(job).state == JobState.SUCCEEDED and not JobSecret.objects.exists()
    lapsing = launch("factual", params, [host], actor="ada", propose=True)
    factual.say(host, kernel="two")
    with pytest.raises(PlanChanged):
        approve(lapsing.approval, actor="grace")
    assert not JobSecret.objects.exists()
    with pytest.raises(PlanRefused, match="password is a secret"):
        ask_again(Approval.objects.get(pk=lapsing.pk), actor="ada")
    assert ask_again(Approval.objects.get(pk=lapsing.pk), actor="ada", params={"password": "swordfish"}).pk


@pytest.mark.parametrize(
    ("rule", "concerned"),
    [
        ({"kind": "factual"}, True),
        ({"kind": "command"}, False),
        ({"label": "production"}, True),
        ({"label": "test"}, False),
        ({"site": "vault"}, True),
        ({"site": "lab"}, False),
        ({"kind": "factual", "label": "production", "site": "vault"}, True),
        ({"kind": "factual", "label": "production", "site": "lab"}, False),
    ],
)
def test_a_rule_makes_proposals_of_the_jobs_that_it_concerns_whoever_launches_them(host, tmp_path, rule, concerned):
    Machine.objects.filter(pk=host.pk).update(labels=["production"], site="vault")
    host.refresh_from_db()
    rules.make(actor="root", **rule)
    for actor in ("ada", "schedule:7"):
        job = propose(host, tmp_path / "ran", actor=actor, propose=False)
        assert job.state == (JobState.PROPOSED if concerned else JobState.QUEUED)
        assert Approval.objects.filter(job=job).exists() == concerned
        if concerned:
            assert len(job.approval.rules) == 1 and next(iter(rule.values())) in job.approval.rules[0]


def test_who_set_the_request_of_a_schedule_stands_behind_what_it_asks_for(host, tmp_path):
    fields = {"owner": "ada", "created_by": "ada", "request": {}, "mode": "cron"}
    for number, (asked_by, behind) in enumerate((("grace", "grace"), ("", "ada"))):
        schedule = Schedule.objects.create(name=f"nightly {number}", asked_by=asked_by, **fields)
        job = propose(host, tmp_path / "ran", actor=schedule.actor)
        assert job.approval.asked_by == behind
        with pytest.raises(OwnProposal):
            approve(job.approval, actor=behind)
        assert approve(job.approval, actor="linus").state == "approved"


def test_a_rule_by_label_leaves_jobs_that_change_nothing_alone(host, monkeypatch, tmp_path):
    Machine.objects.filter(pk=host.pk).update(labels=["production"])
    host.refresh_from_db()
    rules.make(actor="root", label="production")
    monkeypatch.setattr(factual.Factual, "mutates", False)
    assert propose(host, tmp_path / "ran", propose=False).state == JobState.QUEUED
