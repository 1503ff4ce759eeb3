"""A time comes: one job, or a reason why there is none."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from console.audit.models import AuditEvent
from hardware.inventory.models import Machine
from jobs.approvals import rules
from jobs.approvals.failures import OwnProposal
from jobs.approvals.services import approve
from jobs.engine.leases import claim
from jobs.failures import PlanRefused
from jobs.models import Job
from jobs.schedules import firing
from jobs.schedules.models import Fire, Schedule
from jobs.schedules.services import change, run_now
from tests.command_kind import Command
from tests.worker import work

Make = Callable[..., Schedule]


def due(schedule: Schedule, ago: timedelta = timedelta(seconds=2)) -> Schedule:
    """The schedule as it is when its next time was so long ago."""
    Schedule.objects.filter(pk=schedule.pk).update(next_at=timezone.now() - ago)
    schedule.refresh_from_db()
    return schedule


def outcome(fire: Fire | None) -> tuple[str, str]:
    assert fire is not None
    return fire.outcome, fire.reason.get("code", "")


def together(count: int, act: Callable[[], Any]) -> None:
    """So many threads do the same at the same time."""
    wrong: list[Exception] = []

    def one() -> None:
        try:
            act()
        except Exception as error:
            wrong.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_time_that_has_come_launches_a_job_in_the_schedules_name_and_moves_it_on(hourly: Make):
    schedule = due(hourly())
    fire = firing.fire(schedule.pk)
    assert outcome(fire) == ("launched", "")
    job = fire.job
    assert (job.created_by, job.kind) == (f"schedule:{schedule.pk}", "command")
    assert [m.name for m in job.machines.all()] == ["host-1"]
    schedule.refresh_from_db()
    assert timezone.now() < schedule.next_at <= timezone.now() + timedelta(hours=1) and schedule.next_at.minute == 0
    assert firing.fire(schedule.pk) is None and Job.objects.count() == 1
    event = AuditEvent.objects.get(action="schedule.fire")
    assert (event.target, event.detail["owner"], event.detail["job"]) == (f"schedule:{schedule.pk}", "ada", job.pk)
    assert work(job).state == "succeeded"


def test_many_beats_at_once_launch_one_job(hourly: Make):
    schedule = due(hourly())
    together(8, firing.sweep)
    assert Job.objects.count() == 1 and Fire.objects.count() == 1 and schedule.fires.get().outcome == "launched"


def test_a_fire_whose_worker_died_is_gone_on_with(hourly: Make):
    begun = firing._begin(due(hourly()).pk, timezone.now())
    assert begun is not None
    assert firing.sweep() == [], "it may be at work still"
    Fire.objects.filter(pk=begun.pk).update(at=timezone.now() - timedelta(minutes=2))
    assert firing.sweep() == [begun.pk] and firing.sweep() == []
    begun.refresh_from_db()
    assert begun.outcome == "launched" and begun.job == Job.objects.get()


def test_a_worker_that_was_only_slow_and_the_one_that_took_over_launch_one_job(hourly: Make):
    begun = firing._begin(due(hourly()).pk, timezone.now())
    together(4, lambda: firing.carry_out(Fire.objects.get(pk=begun.pk)))
    begun.refresh_from_db()
    assert begun.outcome == "launched" and begun.job == Job.objects.get()


def test_a_console_that_was_off_makes_up_for_the_last_time_once(hourly: Make):
    half_past = timezone.now() - timedelta(minutes=30)
    schedule = hourly(mode="every", cron="", seconds=3600, at=half_past)
    Schedule.objects.update(next_at=half_past - timedelta(hours=5), at=half_past - timedelta(hours=5))
    fire = firing.fire(schedule.pk)
    assert outcome(fire) == ("launched", "caught-up")
    assert (fire.due_at, fire.passed_over, Job.objects.count()) == (half_past, 5, 1)
    schedule.refresh_from_db()
    assert schedule.next_at == half_past + timedelta(hours=1)


def test_what_was_missed_by_more_than_is_caught_up_is_skipped_and_said(hourly: Make):
    begin = timezone.now() - timedelta(hours=2)
    schedule = hourly(mode="every", cron="", seconds=86400, at=begin, catch_up_s=600)
    Schedule.objects.update(next_at=begin)
    fire = firing.fire(schedule.pk)
    assert outcome(fire) == ("skipped", "missed") and fire.reason["mend"] and fire.reason["late_s"] >= 7200
    schedule.refresh_from_db()
    assert schedule.next_at > timezone.now() and not Job.objects.exists() and schedule.refused_in_a_row == 0


def test_while_the_job_before_has_not_ended_the_next_time_is_skipped(hourly: Make):
    schedule = due(hourly())
    first = firing.fire(schedule.pk).job
    fire = firing.fire(due(schedule).pk)
    assert outcome(fire) == ("skipped", "not-ended") and fire.reason["job"] == first.pk and Job.objects.count() == 1
    work(first)
    assert outcome(firing.fire(due(schedule).pk)) == ("launched", "")


def test_or_it_is_queued_behind_it_and_never_more_than_one(hourly: Make):
    schedule = due(hourly(overlap="queue"))
    first = firing.fire(schedule.pk).job
    assert outcome(firing.fire(due(schedule).pk)) == ("skipped", "queued-already")
    assert claim(first.pk, "w1") is not None
    fire = firing.fire(due(schedule).pk)
    assert outcome(fire) == ("launched", "") and fire.after == first
    assert outcome(firing.fire(due(schedule).pk)) == ("skipped", "queued-already")
    assert claim(fire.job.pk, "w2") is None
    fire.job.refresh_from_db()
    assert fire.job.waits_for == first and fire.job.waits_on["reason"] == "dependency"


@pytest.mark.parametrize(
    ("broken", "code", "said"),
    [
        (lambda: Machine.objects.update(state="retired"), "machine-not-ready", "host-1 is retired"),
        (lambda: Machine.objects.all().delete(), "machine-unknown", "no machine called host-1"),
        (lambda: User.objects.update(is_active=False), "owner-gone", "ada"),
    ],
)
def test_a_fire_that_can_launch_nothing_says_why_and_the_schedule_goes_on(
    hourly: Make, broken: Callable[[], Any], code: str, said: str
):
    schedule = hourly()
    broken()
    for times in (1, 2, 3):
        fire = firing.fire(due(schedule).pk)
        assert outcome(fire) == ("refused", code) and said in fire.reason["cause"] and fire.reason["mend"]
        schedule.refresh_from_db()
        assert schedule.enabled and schedule.next_at and schedule.refused_in_a_row == times
    assert AuditEvent.objects.filter(action="schedule.refused").count() == 3


def test_targets_by_label_are_found_anew_each_time(hourly: Make, machine: Machine, second: Machine):
    schedule = hourly(request={"targets": {"labels": ["canary"]}})
    fire = firing.fire(due(schedule).pk)
    assert outcome(fire) == ("refused", "no-machine")
    for labels in (["canary"], ["canary", "gpu"]):
        Machine.objects.filter(name="host-2").update(labels=labels)
        job = firing.fire(due(schedule).pk).job
        assert [m.name for m in job.machines.all()] == ["host-2"]
        work(job)
    schedule.refresh_from_db()
    assert schedule.refused_in_a_row == 0


def test_a_bug_of_the_console_is_recorded_too(hourly: Make, monkeypatch):
    def broken(self, *_: Any) -> None:
        raise KeyError("a bug")

    schedule = due(hourly())
    monkeypatch.setattr(Command, "plan", broken)
    fire = firing.fire(schedule.pk)
    assert outcome(fire) == ("errored", "console-bug") and "KeyError" not in str(fire.reason)


def test_one_that_is_disabled_does_not_fire_and_makes_nothing_up_when_enabled_again(hourly: Make):
    schedule = due(hourly(), timedelta(hours=3))
    change(schedule, actor="ada", enabled=False)
    assert firing.sweep() == [] and schedule.next_at is None
    change(schedule, actor="ada", enabled=True)
    assert schedule.next_at > timezone.now() and firing.sweep() == []


def test_one_that_has_had_its_only_time_rests(hourly: Make):
    schedule = hourly(mode="once", cron="", at=timezone.now() + timedelta(hours=1))
    now = timezone.now()
    Schedule.objects.update(next_at=now, at=now)
    assert outcome(firing.fire(schedule.pk)) == ("launched", "")
    schedule.refresh_from_db()
    assert schedule.next_at is None and firing.sweep() == []
    assert change(schedule, actor="ada", name="was once").name == "was once"
    with pytest.raises(PlanRefused, match="over"):
        change(schedule, actor="ada", at=timezone.now() - timedelta(days=1))


def test_run_now_launches_beside_its_times_and_not_beside_its_own_job(hourly: Make):
    schedule = hourly()
    before = schedule.next_at
    fire = run_now(schedule, actor="bob")
    assert (fire.outcome, fire.by, fire.job.created_by) == ("launched", "bob", f"schedule:{schedule.pk}")
    schedule.refresh_from_db()
    assert schedule.next_at == before
    with pytest.raises(PlanRefused, match="has not ended"):
        run_now(schedule, actor="bob")
    Machine.objects.update(state="retired")
    work(fire.job)
    with pytest.raises(PlanRefused, match="retired"):
        run_now(schedule, actor="bob")
    assert Fire.objects.count() == 1


def test_a_secret_is_not_kept(hourly: Make, monkeypatch):
    monkeypatch.setattr(Command, "secrets", frozenset({"then"}))
    with pytest.raises(PlanRefused) as refused:
        hourly(request={"params": {"command": "true", "then": "hunter2"}})
    assert refused.value.code == "secret-in-schedule" and "hunter2" not in refused.value.cause
    assert not Schedule.objects.exists()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": " "}, "name"),
        ({"cron": "0 2 * *"}, "cron"),
        ({"zone": "Mars"}, "zone"),
        ({"owner": "nobody"}, "owner"),
        ({"mode": "once", "at": None}, "at"),
        ({"request": {"kind": "none"}}, "kind"),
        ({"request": {"params": {}}}, "command"),
        ({"request": {"targets": {}}}, "targets"),
        ({"request": {"targets": {"machines": ["host-9"]}}}, "targets"),
        ({"request": {"options": {"priority": 200}}}, "options.priority"),
    ],
)
def test_what_makes_no_sense_is_refused_at_its_field(hourly: Make, fields: dict[str, Any], field: str):
    with pytest.raises(PlanRefused) as refused:
        hourly(**fields)
    assert refused.value.field == field and refused.value.mend and not Schedule.objects.exists()


def test_a_name_is_taken_once(hourly: Make):
    hourly()
    with pytest.raises(PlanRefused, match="already"):
        hourly()


def test_where_a_rule_asks_for_a_second_person_the_fire_proposes_and_who_set_the_request_may_not_approve(hourly: Make):
    rules.make(actor="root", kind="command", label="", site="", note="")
    schedule = hourly()
    change(schedule, actor="bob", request={**schedule.request, "params": {"command": "echo other"}})
    fire = firing.fire(due(schedule).pk)
    assert (fire.outcome, fire.job.state, fire.job.approval.asked_by) == ("launched", "proposed", "bob")
    with pytest.raises(OwnProposal):
        approve(fire.job.approval, actor="bob")
    assert outcome(firing.fire(due(schedule).pk)) == ("skipped", "not-ended")
    approve(fire.job.approval, actor="ada")
    fire.job.refresh_from_db()
    assert work(fire.job).state == "succeeded"


def test_a_time_that_a_clock_set_back_brings_again_does_not_fire_again(hourly: Make):
    schedule = due(hourly())
    first = firing.fire(schedule.pk)
    work(first.job)
    Schedule.objects.update(next_at=first.due_at)
    assert firing.sweep() == [] and Job.objects.count() == 1
    schedule.refresh_from_db()
    assert schedule.next_at > timezone.now()


def test_a_schedule_whose_time_can_not_be_reckoned_keeps_no_other_from_firing(hourly: Make):
    broken, sound = due(hourly()), due(hourly(name="sound"), timedelta(seconds=1))
    Schedule.objects.filter(pk=broken.pk).update(zone="Gone/Away")
    assert [Fire.objects.get(pk=pk).schedule for pk in firing.sweep()] == [sound]
