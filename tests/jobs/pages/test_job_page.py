from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from django.contrib.auth.models import User

from jobs.engine.leases import claim
from jobs.models import Job
from jobs.pages import views as pages
from jobs.services import launch
from tests.console.pages import Page, sign_in
from tests.worker import work


@pytest.fixture
def site(live_server, machine) -> Iterator[httpx.Client]:
    made = sign_in(live_server.url, User.objects.create_user("ada"))
    yield made
    made.close()


def test_a_job_that_succeeded_shows_its_steps_its_plan_and_where_it_came_from(site, machine):
    job = launch("command", {"command": "echo one"}, [machine], actor="ada")
    work(job)
    page = Page(site.get(f"/jobs/{job.pk}/"))
    assert "host-1, First: Succeeded" in page.source and "host-1, Then: Succeeded" in page.source
    assert page.commands()[:2] == ["echo one", "true"] and job.plan_hash in page.source
    assert 'data-state="succeeded"' in page.source and "Cancel job" not in page.text


def test_a_failure_says_what_where_why_what_was_tried_and_what_to_do(site, machine, second):
    params = {"command": "echo no such device; exit 3", "on_failure": "true"}
    job = launch("command", params, [machine, second], actor="ada")
    work(job)
    page = Page(site.get(f"/jobs/{job.pk}/"))
    assert "host-1, host-2 : First" in page.text or "host-1, host-2: First" in page.text
    assert "Step 1, First, ended with exit code 3 after" in page.text and "exit code 3: no such device" in page.text
    assert "Undo: Succeeded." in page.text and "Read the step&#x27;s log, mend what it names" in page.source
    retry = f"/jobs/new/?kind=command&amp;machine=host-1&amp;machine=host-2&amp;params.command={'echo+no'}"
    assert retry in page.source
    assert Page(site.get(f"/jobs/{job.pk}/?part=live")).source.count("<html") == 0


def test_a_job_that_waits_says_for_which(site, machine):
    one = launch("command", {"command": "true"}, [machine], actor="ada")
    other = launch("command", {"command": "true"}, [machine], actor="ada")
    assert claim(one.pk, "w1") is not None and claim(other.pk, "w2") is None
    page = Page(site.get(f"/jobs/{other.pk}/"))
    assert f"Waits for job {one.pk}. It holds host-1" in page.text and f'href="/jobs/{one.pk}/"' in page.source


def test_a_bug_of_the_console_shows_its_trace_to_staff_alone(site, machine, live_server):
    job = launch("command", {"command": "true"}, [machine], actor="ada")
    failure = {"code": "console-bug", "cause": "The console itself is at fault.", "mend": "Give its number."}
    Job.objects.filter(pk=job.pk).update(state="errored", failure=failure, traceback="Traceback of the bug")
    page = Page(site.get(f"/jobs/{job.pk}/"))
    assert "The console itself is at fault." in page.text and "console-bug" in page.text
    assert "Traceback of the bug" not in page.source
    staff = sign_in(live_server.url, User.objects.create_user("root", is_staff=True))
    assert "Traceback of the bug" in staff.get(f"/jobs/{job.pk}/").text


def test_cancelling_first_says_what_is_done_and_stays_done(site, machine):
    job = launch("command", {"command": "true"}, [machine], actor="ada")
    assert claim(job.pk, "w1") is not None
    job.steps.filter(key="first").update(state="succeeded")
    page = Page(site.get(f"/jobs/{job.pk}/cancel/"))
    assert "Already done host-1: First This stays as it is." in page.text
    assert "Never begun host-1: Then" in page.text
    job.refresh_from_db()
    assert job.state == "running"
    assert site.post(f"/jobs/{job.pk}/cancel/").headers["location"] == f"/jobs/{job.pk}/"
    job.refresh_from_db()
    assert job.state == "cancelling" and "Stopping." in Page(site.get(f"/jobs/{job.pk}/")).text


def test_the_log_is_downloaded_whole_or_of_one_machine(site, machine, second):
    job = launch(
        "command", {"command": "printf 'one\\ntw'; sleep 0.3; printf 'o\\nü\\n\\377'"}, [machine, second], actor="a"
    )
    work(job)
    mine = site.get(f"/jobs/{job.pk}/log.txt?machine=host-1")
    assert mine.content == "one\ntwo\nü\n".encode() + b"\xff"
    assert mine.headers["content-disposition"] == f'attachment; filename="job-{job.pk}-host-1.log"'
    assert site.get(f"/api/v1/jobs/{job.pk}/log-text/?machine=host-1").content == mine.content
    whole = site.get(f"/jobs/{job.pk}/log.txt").content.splitlines()
    assert sorted(whole) == sorted(
        b"[" + name + b"] " + line
        for name in (b"host-1", b"host-2")
        for line in (b"one", b"two", "ü".encode(), b"\xff")
    )


def test_what_a_job_made_and_measured_is_shown_beside_what_the_manual_says(site, machine):
    job = launch("command", {"command": "true"}, [machine], actor="ada")
    artifact = {"id": 1, "type": "model", "name": "bot-int8.onnx", "sha256": "ab" * 32, "size": 23_000_000}
    report = {"scheme": "int8-weight", "bytes_before": 92_000_000, "bytes_after": 23_000_000, "agreement": 0.992}
    Job.objects.filter(pk=job.pk).update(state="succeeded", result={"artifacts": [artifact], "report": report})
    page = Page(site.get(f"/jobs/{job.pk}/"))
    assert "4.00 x" in page.text and "13 GB to 1.6 GB" in page.text
    assert "99.2 %" in page.text and "98.7 % of accuracy kept" in page.text
    assert f'href="/depot/?q={"ab" * 32}"' in page.source


def test_where_the_time_went_is_drawn_and_told_as_a_table(site, machine, second):
    job = launch("command", {"command": "sleep 1.2", "then": "true"}, [machine, second], actor="ada")
    queued = Page(site.get(f"/jobs/{job.pk}/"))
    assert "Slowest" not in queued.text
    work(job)
    page = Page(site.get(f"/jobs/{job.pk}/"))
    assert page.source.count('class="s-ok s-gap"') == 4 and "Slowest: First, host-" in page.text
    part = site.get(f"/jobs/{job.pk}/?part=live").text
    assert 'id="timing"' in part and 'hx-swap-oob="true"' in part and 'hx-swap-oob="true"' not in page.source


def test_a_long_plan_is_read_when_it_is_unfolded(site, machine, monkeypatch):
    job = launch("command", {"command": "echo as approved"}, [machine], actor="ada")
    monkeypatch.setattr(pages, "INLINE_LANES", 0)
    page = Page(site.get(f"/jobs/{job.pk}/"))
    assert page.commands() == [] and f'hx-get="/jobs/{job.pk}/?part=plan"' in page.source
    assert Page(site.get(f"/jobs/{job.pk}/?part=plan")).commands() == ["echo as approved", "true"]
