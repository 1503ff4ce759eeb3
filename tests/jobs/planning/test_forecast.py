from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from hardware.inventory.models import Machine
from jobs.models import Job, JobStep
from jobs.planning import forecast
from jobs.services import plan
from tests.console.pages import Page, sign_in


@pytest.fixture
def machines(machine) -> list[Machine]:
    fields = {"host": machine.host, "credential": machine.credential, "state": Machine.State.READY}
    return [machine] + [Machine.objects.create(name=f"m-{n}", **fields) for n in range(9)]


def earlier(
    machines: list[Machine], seconds: dict[str, float], *, kind: str = "command", state: str = "succeeded"
) -> None:
    """A job that took so many seconds a step on each of its machines."""
    now = timezone.now()
    job = Job.objects.create(kind=kind, plan={"stages": []}, plan_hash="x", queue="machines", state="succeeded")
    job.machines.set(machines)
    for lane, machine in enumerate(machines):
        for place, (key, took) in enumerate(seconds.items()):
            JobStep.objects.create(
                job=job, stage=0, lane=lane, position=place, machine=machine, key=key, title=key, action={},
                state=state, started_at=now - timedelta(seconds=took), ended_at=now,
            )  # fmt: skip


def foreseen(machines: list[Machine], **params: Any) -> forecast.Forecast:
    made, _ = plan("command", {"command": "true", **params}, machines)
    return forecast.of_plan("command", made.to_json())


def test_with_no_earlier_run_nothing_is_guessed(machines):
    earlier(machines[:1], {"first": 5, "then": 5}, kind="another")
    earlier(machines[:1], {"first": 5}, state="failed")
    made = foreseen(machines[:1])
    assert made.total is None and made.steps == {} and made.unknown == ["first", "then"]


def test_median_and_nine_of_ten_are_those_of_the_same_step_of_the_same_kind(machines):
    for took in (1, 2, 3, 4, 5, 6, 7, 8, 9, 100):
        earlier(machines[:1], {"first": took})
    made = foreseen(machines[:1])
    assert made.steps["first"] == forecast.Expected(5.5, 9.0, 10)
    assert made.unknown == ["then"] and made.total == forecast.Expected(5.5, 9.0)


def test_jobs_on_about_as_many_machines_count_where_there_are_enough(machines):
    for _ in range(3):
        earlier(machines[:1], {"first": 2})
        earlier(machines, {"first": 60})
    assert foreseen(machines[:1]).steps["first"].median_s == 2
    assert foreseen(machines).steps["first"].median_s == 60
    # Of two machines there was no job: of one there were some, which is near enough; ten are not.
    assert foreseen(machines[:2]).steps["first"].median_s == 2


def test_the_total_counts_machines_at_a_time_and_stages_one_after_another(machines):
    earlier(machines, {"first": 10, "then": 1})
    made, _ = plan("command", {"command": "true"}, machines)
    assert forecast.of_plan("command", made.to_json(), parallel=50).total.median_s == 11
    assert forecast.of_plan("command", made.to_json(), parallel=4).total.median_s == 33
    twice = {"stages": made.to_json()["stages"] * 2}
    assert forecast.of_plan("command", twice).total.median_s == 22


def forget_statistics() -> None:
    """Another test of this process may have had SQLite count its tables when they were nearly empty."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_stat1'")
        if cursor.fetchone():
            cursor.execute("DELETE FROM sqlite_stat1")
            cursor.execute("ANALYZE sqlite_master")


def test_however_long_the_history_three_queries_read_a_bounded_part_of_it_by_an_index(machines):
    earlier(machines, {"first": 10, "then": 1})
    with CaptureQueriesContext(
        connection,
    ) as queries:
        forecast.of_plan("command", plan("command", {"command": "true"}, machines)[0].to_json())
    asked = [query["sql"] for query in queries if "jobs_" in query["sql"]]
    assert len(asked) == 3 and "LIMIT 50" in asked[0] and "LIMIT 4000" in asked[2]
    if connection.vendor == "sqlite":
        forget_statistics()
        for sql in asked:
            with connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
                steps = [row[3] for row in cursor.fetchall()]
            assert not [step for step in steps if step.startswith("SCAN") and "subquery" not in step], (sql, steps)
            assert not [step for step in steps if "TEMP B-TREE FOR ORDER BY" in step], (sql, steps)


def test_the_plan_page_shows_what_each_step_took_before_and_what_is_written(machines, live_server):
    earlier(machines[:1], {"first": 75})
    earlier(machines[:1], {"first": 135})
    client = sign_in(live_server.url, User.objects.create_user("ada", is_staff=True))
    data = {"kind": "command", "machine": "host-1", "params.command": "true", "do": "plan"}
    page = Page(client.post("/jobs/new/", data=data))
    assert "Expected to take: about 1:45, 9 of 10 within 2:15, without Then, which have no earlier run" in page.text
    assert "up to 1 min · about 1:45, 9 of 10 within 2:15" in page.text and "no earlier run" in page.text
