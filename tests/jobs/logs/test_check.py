from __future__ import annotations

import hashlib

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from jobs.logs import packing
from jobs.models import Job, JobStep, LogBlock
from jobs.services import launch
from tests.jobs.logs.conftest import Written
from tests.worker import work


@pytest.fixture
def api(transactional_db) -> APIClient:
    client = APIClient()
    client.force_authenticate(User.objects.create_user("ada", password="a-long-test-password"))
    return client


def test_the_record_holds_what_the_machine_reckoned_and_the_stored_log_is_held_against_it(machine, api):
    job = work(launch("command", {"command": "seq 3000", "then": "echo two"}, [machine], actor="ada"))
    written = "".join(f"{n}\n" for n in range(1, 3001)) + "two\n"
    assert list(job.steps.order_by("position").values_list("log_length", flat=True)) == [len(written) - 4, 4]
    packing.close(job.pk)
    said = api.get(f"/api/v1/jobs/{job.pk}/log-check/").json()
    record = api.get(f"/api/v1/jobs/{job.pk}/").json()
    assert said["whole"] == {"length": len(written), "sha256": record["log_sha256"], "intact": True}
    assert record["log_length"] == len(written) and 0 < record["log_stored"] < len(written)
    assert [(step["step"], step["intact"]) for step in said["steps"]] == [("first", True), ("then", True)]
    by_step = {step["id"]: step["log_sha256"] for step in api.get(f"/api/v1/jobs/{job.pk}/steps/").json()}
    assert {step["step_id"]: step["sha256"] for step in said["steps"]} == by_step


def test_a_log_that_was_changed_in_the_store_is_found(written: Written, api, monkeypatch):
    monkeypatch.setattr(packing, "_later", lambda *args: None)
    written.scatter(200)
    for step in written.steps:
        data = written.sources[written.source(step)]
        JobStep.objects.filter(pk=step.pk).update(log_sha256=hashlib.sha256(data).hexdigest())
    job = written.end()
    address = f"/api/v1/jobs/{job.pk}/log-check/"
    assert api.get(address).json()["whole"]["intact"] is True
    packing.close(job.pk)
    block = LogBlock.objects.filter(step=written.steps[2]).latest("source_offset")
    block.delete()
    said = api.get(address).json()
    assert said["whole"]["intact"] is False
    assert {step["step_id"]: step["intact"] for step in said["steps"]}.get(written.steps[2].pk) is not True
    Job.objects.filter(pk=job.pk).update(log_sha256="")
    assert api.get(address).json()["whole"]["intact"] is None
