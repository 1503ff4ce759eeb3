"""Every filter finds what it says, in the order of the list, and none of them reads the table through."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from django.db import connection

from hardware.inventory.models import Machine
from jobs.history.generate import generate, settle
from jobs.history.query import WALKS, Query
from jobs.history.rows import batches, read
from jobs.models import Job, JobTarget

pytestmark = pytest.mark.django_db

FACETS = {"kinds": ("rollout",), "states": ("failed",), "people": ("pipeline",)}


@pytest.fixture
def history() -> list[Job]:
    generate(3000, seed=3, opened=20)
    return list(Job.objects.order_by("-id").prefetch_related("machines"))


def matching(history: list[Job], query: Query) -> list[int]:
    """What a person who reads every job would find."""
    return [
        job.pk
        for job in history
        if (not query.kinds or job.kind in query.kinds)
        and (not query.states or job.state in query.states)
        and (not query.people or job.created_by in query.people)
        and (not query.machine or query.machine in {machine.name for machine in job.machines.all()})
        and (query.since is None or job.created_at >= query.since)
        and (query.until is None or job.created_at < query.until)
        and query.text.lower() in job.failure.get("cause", "").lower()
    ]


def combinations(history: list[Job]) -> list[Query]:
    """Each filter on or off, with every other one."""
    middle = history[len(history) // 2].created_at
    filters = [
        *FACETS.items(),
        ("machine", "generated-007"),
        ("since", middle - timedelta(days=150)),
        ("until", middle + timedelta(days=150)),
        ("text", "KERNEL 4.19"),
    ]
    return [
        Query(**dict(chosen)) for size in range(len(filters) + 1) for chosen in itertools.combinations(filters, size)
    ]


def test_every_combination_of_filters_finds_exactly_what_matches_newest_first(history):
    asked = combinations(history)
    assert len(asked) == 128
    for query in asked:
        assert query.ids(5000) == matching(history, query), query
        assert query.count() == (len(matching(history, query)), False), query


@pytest.mark.parametrize(("share", "most"), [(3, 0), (1, 0), (1, 100_000)], ids=["beside", "asked", "sorted"])
def test_a_label_finds_the_jobs_of_the_machines_that_have_it_with_any_other_filter(
    history, share, most, monkeypatch, django_assert_max_num_queries
):
    """Of every third machine they are walked one beside the other; where all have it, the jobs are asked, or sorted."""
    monkeypatch.setattr("jobs.history.query.SORTED", most)
    for number, machine in enumerate(Machine.objects.order_by("name").defer("facts")):
        if number % share == 0:
            Machine.objects.filter(pk=machine.pk).update(labels=["rack", f"of-{number}"])
    labelled = {machine.name for machine in Machine.objects.all() if "rack" in machine.labels}
    assert (len(labelled) > WALKS) == (share == 1)
    for query in combinations(history):
        mine = [job for job in history if labelled & {machine.name for machine in job.machines.all()}]
        wanted = Query(**{**vars(query), "label": "rack"})
        expected = matching(mine, query) if query.machine in ("", *labelled) else []
        assert wanted.ids(5000) == expected, wanted
        assert wanted.count() == (len(expected), False), wanted
    assert Query(label="rack").ids(50) == matching(mine, Query())[:50]
    assert Query(label="of-0", machine="generated-002").ids(50) == Query(label="no-machine-has-it").ids(50) == []
    with django_assert_max_num_queries(3):
        Query(label="rack").ids(50)


def test_a_label_loses_no_job_though_the_tables_were_counted_when_they_were_small():
    generate(60, seed=9, opened=5)
    settle()
    JobTarget.objects.all().delete()
    generate(3000, seed=3, opened=20)
    Machine.objects.update(labels=["rack"])
    whole = list(JobTarget.objects.order_by("-job_id").values_list("job_id", flat=True).distinct())
    assert len(whole) > 2000
    for limit in range(1, 500, 7):
        assert Query(label="rack").ids(limit) == whole[:limit], limit
    assert Query(label="rack").count() == (len(whole), False)


def test_many_machines_with_few_jobs_are_not_looked_for_among_all_jobs(history):
    if connection.vendor != "sqlite":
        pytest.skip("reads SQLite's own words for a plan")
    fields = {"host": "192.0.2.1", "credential_id": Machine.objects.values_list("credential_id", flat=True)[0]}
    new = [Machine(name=f"new-{number}", labels=["new"], **fields) for number in range(WALKS + 1)]
    for machine in Machine.objects.bulk_create(new)[:3]:
        history[0].machines.add(machine)
    found = Query(label="new")
    assert "jobs_of_machine" in " ".join(found.explain())
    assert (found.ids(50), found.count()) == ([history[0].pk], (1, False))


def test_several_values_of_a_filter_are_alternatives(history):
    many = Query(kinds=("rollout", "convert"), states=("failed", "errored", "running"))
    assert many.ids(5000) == matching(history, many) != []
    on_one = Query(kinds=("rollout", "convert"), states=("failed", "succeeded"), machine="generated-003")
    assert on_one.ids(5000) == matching(history, on_one) != []


def test_pages_go_on_where_the_last_one_ended_in_both_directions(history):
    query = Query(states=("succeeded",))
    whole = matching(history, query)
    first = query.ids(50)
    assert query.ids(50, before=first[-1]) == whole[50:100]
    assert query.ids(50, after=whole[60]) == whole[10:60][::-1]


def test_a_time_is_exact_though_ids_and_clocks_disagree_by_minutes(history):
    middle = history[1500]
    Job.objects.filter(pk=history[1499].pk).update(created_at=middle.created_at - timedelta(minutes=50))
    again = list(Job.objects.order_by("-id").prefetch_related("machines"))
    for query in (Query(since=middle.created_at), Query(until=middle.created_at)):
        assert query.ids(5000) == matching(again, query)


def test_counting_ends_at_its_bound(history):
    assert Query().count(100) == (100, True)
    assert Query(kinds=("rollout",)).count(100) == (100, True)
    assert Query(machine="nobody").count() == (0, False)


def test_a_text_is_taken_as_it_is_typed(history):
    for text in ("100%", "_", "\\", "'; DROP TABLE jobs_job"):
        Job.objects.filter(pk=history[7].pk).update(failure={"code": "x", "cause": f"It said {text} twice."})
        assert Query(text=f"SAID {text}").ids(10) == [history[7].pk], text


@pytest.mark.skipif(connection.vendor != "sqlite", reason="reads SQLite's own words for a plan")
def test_no_filter_reads_a_whole_table(history):
    for query in combinations(history):
        plan = query.explain()
        assert [line for line in plan if line.startswith("SCAN") and not line.startswith("SCAN w")] == [], query
        found = [line for line in plan if "INDEX" in line or "PRIMARY KEY" in line]
        assert found, query
        if any((query.kinds, query.states, query.people, query.machine, query.text)):
            assert any("job_" in line or "jobs_of_machine" in line for line in found), (query, plan)


def test_a_machine_with_fewer_jobs_than_the_rest_leaves_is_walked_itself(history):
    if connection.vendor != "sqlite":
        pytest.skip("reads SQLite's own words for a plan")
    rare = Query(machine="generated-007", states=("succeeded",)).explain()
    assert "jobs_of_machine" in rare[0]
    for job in history[:2000]:
        job.machines.add(Machine.objects.get(name="generated-007"))
    often = Query(machine="generated-007", states=("errored",)).explain()
    assert "job_state" in often[0]


def test_rows_are_read_with_a_fixed_number_of_questions(history, django_assert_num_queries):
    ids = Query().ids(50)
    with django_assert_num_queries(2):
        rows = read(ids)
        names = [(row.job.pk, row.machines, row.job.failure) for row in rows]
    assert [pk for pk, _names, _failure in names] == ids
    for job, row in zip(history, rows, strict=False):
        assert row.machines == sorted(machine.name for machine in job.machines.all())


def test_batches_together_are_the_whole_history(history):
    sizes = [len(batch) for batch in batches(Query())]
    assert sum(sizes) == 3000 and max(sizes) == 500
