"""A job's page says why it waits, takes what a person wants of it, and tells who did what when."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from jobs.engine.leases import claim
from jobs.models import Job
from jobs.options import Options
from jobs.pages import waits
from jobs.services import launch
from tests.console.pages import Page, sign_in
from tests.worker import work


@pytest.fixture
def site(live_server, machine) -> Iterator[httpx.Client]:
    made = sign_in(live_server.url, User.objects.create_user("ada"))
    yield made
    made.close()


def shown(site: httpx.Client, job: Job) -> Page:
    return Page(site.get(f"/jobs/{job.pk}/"))


def test_a_job_that_has_not_begun_is_taken_out_of_the_line_and_put_back(site, machine):
    job = launch("command", {"command": "true"}, [machine], actor="ada")
    assert "Do not begin yet" in shown(site, job).text
    assert site.post(f"/jobs/{job.pk}/pause/").headers["location"] == f"/jobs/{job.pk}/"
    page = shown(site, job)
    assert 'data-state="paused"' in page.source and "It has not begun" in page.text
    site.post(f"/jobs/{job.pk}/resume/")
    work(job)
    job.refresh_from_db()
    assert job.state == "succeeded"
    told = re.sub(r"\d\d:\d\d:\d\d", "T", shown(site, job).text)
    assert "Queued T · ada Paused T · ada Queued T · ada Running T · a worker Succeeded T · a worker" in told


def test_a_job_stands_before_the_step_that_it_was_told_to_pause_before(site, machine, second):
    job = launch("command", {"command": "true"}, [machine, second], actor="ada")
    assert re.search(r'<option value="then">', shown(site, job).source)
    told = site.post(f"/jobs/{job.pk}/pause/", data={"before": "then"}, follow_redirects=True)
    assert "The job will pause before: Then." in Page(told).text
    assert "Then: Pending, the job pauses before it" in shown(site, job).source
    work(job)
    page = shown(site, job)
    assert 'data-state="paused"' in page.source and "Paused before: Then (2 machines)." in page.text
    assert "It keeps its machines" in page.text
    site.post(f"/jobs/{job.pk}/resume/")
    work(job)
    assert 'data-state="succeeded"' in shown(site, job).source


def test_a_step_that_is_over_cannot_be_paused_before_and_the_page_says_so(site, machine):
    job = launch("command", {"command": "true"}, [machine], actor="ada")
    job.steps.update(state="succeeded")
    told = site.post(f"/jobs/{job.pk}/pause/", data={"before": "then"}, follow_redirects=True)
    assert f"Job {job.pk} has no step then that is still to come." in Page(told).text


def test_a_job_for_later_says_until_when_it_waits(site, machine):
    later = timezone.now() + timedelta(days=3)
    job = launch("command", {"command": "true"}, [machine], actor="ada", options=Options(not_before=later))
    assert claim(job.pk, "w1") is None
    page = shown(site, job)
    assert "Not before its time. Until" in page.text and f"Not before: {later:%Y-%m-%d %H:%M}" in page.text
    assert "not before its time" in Page(site.get("/jobs/")).text


def test_who_is_ahead_in_line_is_named_with_a_link(site, machine, second):
    holder = launch("command", {"command": "true"}, [machine], actor="ada")
    both = launch("command", {"command": "true"}, [machine, second], actor="ada")
    behind = launch("command", {"command": "true"}, [second], actor="ada")
    assert claim(holder.pk, "w1") and claim(both.pk, "w2") is None and claim(behind.pk, "w3") is None
    page = shown(site, behind)
    assert f"Job {both.pk} comes before it in line." in page.text and f'href="/jobs/{both.pk}/"' in page.source
    assert f"behind job {both.pk}" in Page(site.get("/jobs/?state=waiting")).text


@pytest.mark.parametrize(
    ("waits_on", "what", "why"),
    [
        (
            {"reason": "window", "machines": ["n1"], "closed": 3, "windows": ["nights"], "unknown": False, "days": 14},
            "Waits for job 7.",
            "Jobs may not begin on n1 and 2 more now (nights). They are not open together within 14 days: change the "
            "windows, or take machines out.",
        ),
        (
            {"reason": "limit", "counts": "jobs", "most": 2, "used": 2, "width": 1, "kind": "", "site": ""},
            "Waits for job 7.",
            "2 of 2 jobs run.",
        ),
        ({"reason": "dependency"}, "Begins when job 7 has ended well.", "This one needs what that one does."),
        (
            {"reason": "dependency", "schedule": 3},
            "Begins when job 7 has ended.",
            "Its schedule begins no job before the last one has ended.",
        ),
    ],
)
def test_each_reason_to_wait_has_its_sentence(machine, waits_on, what, why):
    found = waits.said(waits_on, 7)
    assert (found.what, found.why) == (what, why) and found.short


def test_a_job_that_was_stopped_says_what_it_left_behind(site, machine):
    job = launch("command", {"command": "true"}, [machine], actor="ada")
    lease, _ = claim(job.pk, "w1")
    assert lease is not None
    job.steps.filter(key="first").update(state="succeeded")
    Job.objects.filter(pk=job.pk).update(state="cancelled", ended_at=timezone.now())
    page = shown(site, job)
    assert "It was stopped; nothing was taken back. 1 step was done and stays so. 1 never began." in page.text


def test_a_proposal_leads_to_its_approval_and_can_be_withdrawn(site, machine):
    job = launch("command", {"command": "true"}, [machine], actor="ada", propose=True)
    page = shown(site, job)
    assert f'href="/approvals/{job.pk}/"' in page.source and "Cancel job" in page.text
    assert Page(site.get("/jobs/?state=open")).source.count(f'href="/jobs/{job.pk}/"') == 1
    site.post(f"/jobs/{job.pk}/cancel/")
    assert 'data-state="cancelled"' in shown(site, job).source
