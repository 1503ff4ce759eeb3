from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from console.audit.models import AuditEvent
from jobs.logs import packing, reading, retention, search, text
from jobs.models import Job, LogBlock, LogChunk, LogLimit
from tests.jobs.logs.conftest import Written


@pytest.fixture(autouse=True)
def limits(monkeypatch):
    """No limit, and nothing is packed beside the test."""
    monkeypatch.setattr(settings, "LOG_DAYS", 0)
    monkeypatch.setattr(settings, "LOG_BYTES", 0)
    monkeypatch.setattr(packing, "_later", lambda *args: None)


def ended(written: Written, days: int) -> Job:
    written.scatter(200)
    written.end()
    packing.close(written.job.pk)
    Job.objects.filter(pk=written.job.pk).update(ended_at=timezone.now() - timedelta(days=days))
    written.job.refresh_from_db()
    return written.job


def test_a_log_that_is_too_old_goes_and_what_the_record_and_the_trail_say_of_it_stays(written: Written, monkeypatch):
    job = ended(written, days=31)
    assert retention.remove_old() == 0
    monkeypatch.setattr(settings, "LOG_DAYS", 32)
    assert retention.remove_old() == 0 and LogBlock.objects.exists()
    monkeypatch.setattr(settings, "LOG_DAYS", 30)
    events = AuditEvent.objects.count()
    assert retention.remove_old() == 1 and retention.remove_old() == 0
    assert not LogBlock.objects.exists() and not LogChunk.objects.exists()
    job.refresh_from_db()
    assert (job.log_removed_for, job.log_stored, job.log_length) == ("age", 0, len(written.whole))
    assert job.log_sha256 == hashlib.sha256(written.whole).hexdigest() and job.steps.count() == 4
    assert AuditEvent.objects.count() == events + 1
    said = AuditEvent.objects.latest("id")
    assert (said.action, said.target, said.detail["reason"]) == ("job.log-removed", f"job:{job.pk}", "age")
    assert said.detail["sha256"] == job.log_sha256 and said.detail["length"] == job.log_length


def test_of_logs_that_take_too_much_room_the_oldest_go_first_and_only_as_many_as_must(written: Written, monkeypatch):
    job = ended(written, days=3)
    size = job.log_stored
    # Others like it, of which nothing is stored: what their records say is what counts.
    like = {"kind": "command", "plan": {}, "plan_hash": "", "queue": "machines", "state": "succeeded"}
    for days in (2, 4):
        at = timezone.now() - timedelta(days=days)
        Job.objects.create(**like, ended_at=at, log_length=9, log_stored=size, log_packed=True)
    monkeypatch.setattr(settings, "LOG_BYTES", 3 * size)
    assert retention.remove_old() == 0
    monkeypatch.setattr(settings, "LOG_BYTES", 2 * size)
    assert retention.remove_old() == 1
    assert Job.objects.get(log_removed_for="size").ended_at < job.ended_at
    monkeypatch.setattr(settings, "LOG_BYTES", 2 * size - 1)
    assert retention.remove_old() == 1 and not LogBlock.objects.exists()
    monkeypatch.setattr(settings, "LOG_BYTES", size)
    assert retention.remove_old() == 0


def test_a_job_that_runs_keeps_its_log_however_old_and_large(written: Written, monkeypatch):
    written.scatter(200)
    Job.objects.filter(pk=written.job.pk).update(started_at=timezone.now() - timedelta(days=400))
    monkeypatch.setattr(settings, "LOG_DAYS", 1)
    monkeypatch.setattr(settings, "LOG_BYTES", 1)
    assert retention.remove_old() == 0 and LogChunk.objects.exists()
    assert not retention.remove(written.job, LogLimit.AGE)


def test_a_removal_that_is_broken_off_is_gone_on_with(written: Written, monkeypatch):
    ended(written, days=2)
    monkeypatch.setattr(settings, "LOG_DAYS", 1)
    monkeypatch.setattr(retention, "ROWS", 1)
    real, calls = LogBlock.objects.filter, [0]

    def dies(**values: object):
        calls[0] += 1
        if calls[0] == 4:
            raise KeyboardInterrupt
        return real(**values)

    monkeypatch.setattr(LogBlock.objects, "filter", dies)
    with pytest.raises(KeyboardInterrupt):
        retention.remove_old()
    assert 0 < LogBlock.objects.count() < 4
    assert retention.remove_old() == 0
    assert not LogBlock.objects.exists()
    assert not Job.objects.filter(log_stored__gt=0).exists()
    assert AuditEvent.objects.filter(action="job.log-removed").count() == 1


def test_rest_and_the_page_say_that_the_log_was_removed_when_and_why(written: Written, monkeypatch):
    job = ended(written, days=2)
    monkeypatch.setattr(settings, "LOG_DAYS", 1)
    retention.remove_old()
    person = User.objects.create_user("ada", password="a-long-test-password")
    api = APIClient()
    api.force_authenticate(person)
    said = api.get(f"/api/v1/jobs/{job.pk}/").json()
    assert said["log_removed_at"] and said["log_removed_for"] == "age" and said["log_length"] == len(written.whole)
    log = api.get(f"/api/v1/jobs/{job.pk}/log/").json()
    assert (log["frames"], log["ended"], log["removed_for"]) == ([], True, "age")
    for path in ("log-text/", "log-zip/", "log-check/"):
        answer = api.get(f"/api/v1/jobs/{job.pk}/{path}")
        assert answer.status_code == 410 and answer.json()["code"] == "log-removed", answer.content
        assert "older than logs are kept" in answer.json()["title"]
    client = Client()
    client.force_login(person)
    assert client.get(f"/jobs/{job.pk}/log.txt").status_code == 410
    page = client.get(f"/jobs/{job.pk}/").content.decode()
    assert "The log was removed" in page and "older than logs are kept" in page and 'data-removed="1"' in page
    assert job.log_sha256 in page and 'id="get-log"' not in page and "log.zip" not in page


DOWNLOADS = {
    "a machine": lambda job: text.stream(job.pk, "host-1"),
    "all lines": lambda job: text.stream(job.pk, None),
    "zip": text.zipped,
}


@pytest.mark.parametrize("download", DOWNLOADS)
def test_a_download_whose_log_is_removed_meanwhile_breaks_off_and_does_not_look_whole(
    written: Written, monkeypatch, download
):
    # Several blocks a run, as of a log that is worth removing.
    monkeypatch.setattr("jobs.logs.pieces.WINDOW", 8192)
    monkeypatch.setattr(text, "SEND_BYTES", 1)
    job = ended(written, days=2)

    async def under_way() -> None:
        parts = DOWNLOADS[download](job)
        await anext(parts)
        await sync_to_async(retention.remove)(job, LogLimit.AGE)
        async for _ in parts:
            pass

    with pytest.raises(reading.LogGone):
        async_to_sync(under_way)()


@pytest.mark.parametrize("path", ["log-check/", "log-search/?q=driver"])
def test_rest_does_not_take_what_is_left_of_a_log_for_the_whole(written: Written, monkeypatch, path: str):
    """The removal begins when the request has looked whether the log is there, and is under way while it is read."""
    monkeypatch.setattr("jobs.logs.pieces.WINDOW", 8192)
    job = ended(written, days=2)
    api = APIClient()
    api.force_authenticate(User.objects.create_user("ada", password="a-long-test-password"))
    whole = reading.whole

    def removed_meanwhile(*args, **how):
        pieces = whole(*args, **how)
        yield next(pieces)
        retention.remove(job, LogLimit.AGE)
        yield from pieces

    monkeypatch.setattr(search, "whole", removed_meanwhile)
    monkeypatch.setattr("jobs.logs.check.whole", removed_meanwhile)
    answer = api.get(f"/api/v1/jobs/{job.pk}/{path}")
    assert answer.status_code == 410 and answer.json()["code"] == "log-removed", answer.content
