from __future__ import annotations

import asyncio
import csv
import io
import json
import tracemalloc

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from console.audit.models import AuditEvent
from jobs.history import export
from jobs.history.generate import generate
from jobs.history.query import Query
from jobs.models import Job


def taken(query: Query, form: str) -> bytes:
    async def take() -> bytes:
        return b"".join([piece async for piece in export.stream(query, form)])

    return asyncio.run(take())


@pytest.fixture
def history(transactional_db) -> None:
    generate(1200, seed=5, opened=5)


@pytest.fixture
def client(history) -> APIClient:
    made = APIClient()
    made.force_login(User.objects.create_user("ada"))
    return made


def test_both_forms_hold_every_job_that_matches_once_newest_first(history):
    query = Query(states=("failed",))
    ids = query.ids(5000)
    rows = list(csv.DictReader(io.StringIO(taken(query, "csv").decode("utf-8-sig"))))
    lines = [json.loads(line) for line in taken(query, "jsonl").splitlines()]
    assert [int(row["id"]) for row in rows] == [line["id"] for line in lines] == ids != []
    assert all(row["failure_cause"] == line["failure_cause"] != "" for row, line in zip(rows, lines, strict=True))
    assert all(row["machines"].split() == line["machines"] for row, line in zip(rows, lines, strict=True))
    assert len(taken(Query(), "jsonl").splitlines()) == 1200


def test_no_cell_is_a_formula_to_a_spreadsheet(history):
    evil = ('=HYPERLINK("http://x")', "+1+1", "-2", "@SUM(A1)", "\t=1", "＝1")
    job = Job.objects.latest("pk")
    for text in evil:
        Job.objects.filter(pk=job.pk).update(created_by=text, failure={"code": text, "cause": text})
        row = next(csv.DictReader(io.StringIO(taken(Query(), "csv").decode("utf-8-sig"))))
        assert row["person"] == row["failure_code"] == row["failure_cause"] == "'" + text
        assert json.loads(taken(Query(), "jsonl").splitlines()[0])["person"] == text
    Job.objects.filter(pk=job.pk).update(created_by='a, "b"\nc')
    row = next(csv.DictReader(io.StringIO(taken(Query(), "csv").decode("utf-8-sig"))))
    assert row["person"] == 'a, "b"\nc'


def test_a_long_export_holds_no_more_memory_than_a_short_one(history):
    generate(4000, seed=6)

    def highest(most: int) -> int:
        async def take() -> None:
            rows = 0
            async for piece in export.stream(Query(), "jsonl"):
                rows += piece.count(b"\n")
                if rows >= most:
                    return

        tracemalloc.start()
        asyncio.run(take())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    highest(500)
    assert highest(5200) < 1.5 * highest(1000)


@pytest.mark.parametrize("path", ["/jobs/export", "/api/v1/jobs/export"])
def test_page_and_rest_give_the_file_and_the_trail_says_who_took_it(client, path):
    answer = client.get(f"{path}.csv?state=failed&text=KERNEL", headers={"Accept": "text/csv"})
    assert answer.status_code == 200 and answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"].startswith('attachment; filename="jobs-')
    rows = list(csv.DictReader(io.StringIO(b"".join(answer).decode("utf-8-sig"))))
    assert [int(row["id"]) for row in rows] == Query(states=("failed",), text="kernel").ids(5000) != []
    lines = client.get(f"{path}.jsonl?machine=generated-001")
    assert lines["Content-Type"] == "application/x-ndjson"
    assert len(b"".join(lines).splitlines()) == len(Query(machine="generated-001").ids(5000)) > 0
    assert [event.actor for event in AuditEvent.objects.filter(action="jobs.export")] == ["ada", "ada"]


def test_nobody_takes_the_history_without_logging_in(history):
    assert APIClient().get("/jobs/export.csv").status_code == 302
    assert APIClient().get("/api/v1/jobs/export.csv").status_code == 401


def test_the_list_over_rest_goes_through_all_pages_and_back(client):
    first = client.get("/api/v1/jobs/?state=succeeded&page_size=100").json()
    assert (first["count"], first["count_more"], first["previous"]) == (
        len(Query(states=("succeeded",)).ids(5000)),
        False,
        None,
    )
    seen, page = [job["id"] for job in first["results"]], first
    while page["next"]:
        page = client.get(page["next"]).json()
        seen += [job["id"] for job in page["results"]]
    assert seen == Query(states=("succeeded",)).ids(5000)
    back = client.get(page["previous"]).json()
    assert [job["id"] for job in back["results"]] == seen[-len(page["results"]) - 100 : -len(page["results"])]


def test_the_list_over_rest_takes_several_values_and_names_what_it_cannot_read(client):
    several = client.get("/api/v1/jobs/?state=failed,errored&kind__in=rollout,convert&page_size=500").json()
    assert {job["state"] for job in several["results"]} == {"failed", "errored"}
    assert {job["kind"] for job in several["results"]} == {"rollout", "convert"}
    wrong = client.get("/api/v1/jobs/?since=yesterday&state=broken")
    assert wrong.status_code == 400 and set(wrong.json()["errors"]) == {"since", "state"}
    assert client.get("/api/v1/jobs/?cursor=x").status_code == 400
    for path in ("/api/v1/jobs/", "/api/v1/jobs/export.csv", "/api/v1/jobs/export.jsonl"):
        misspelt = client.get(f"{path}?sate=failed")
        assert misspelt.status_code == 400 and "sate" in misspelt.json()["errors"]
    assert client.get("/api/v1/jobs/export.csv?since=yesterday", headers={"Accept": "text/csv"}).status_code == 400


def test_the_page_filters_by_day_and_cause_counts_and_offers_the_files(client):
    page = client.get("/jobs/?text=kernel&state=failed").content.decode()
    count = len(Query(states=("failed",), text="kernel").ids(5000))
    assert f"Jobs: {count}" in page and page.count('class="em"') == min(50, count)
    assert 'href="/jobs/export.csv?state=failed&amp;text=kernel"' in page and 'name="since"' in page
    day = Job.objects.order_by("pk")[600].created_at.date().isoformat()
    found = Job.objects.filter(created_at__date=day).count()
    assert f"Jobs: {found}<" in client.get(f"/jobs/?since={day}&until={day}").content.decode()
    none = client.get("/jobs/?text=nowhere+to+be+found").content.decode()
    assert "1200 jobs are hidden by cause: nowhere to be found." in none.replace(",", "")
    assert client.get("/jobs/?since=0001-01-01&until=9999-12-31").status_code == 200


def test_a_script_may_ask_from_the_first_moment_to_the_last_one(client):
    ends = "since=0001-01-01&until=9999-12-31T23:59:59Z"
    assert client.get(f"/api/v1/jobs/?{ends}").json()["count"] == 1200
    assert client.get("/api/v1/jobs/?until=0001-01-01").json()["count"] == 0
    assert client.get("/api/v1/jobs/?since=9999-12-31T23:59:59Z").json()["count"] == 0
    assert len(b"".join(client.get(f"/api/v1/jobs/export.jsonl?{ends}")).splitlines()) == 1200
