from __future__ import annotations

import csv
import io
import json
import time

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from hardware.inventory.models import Credential, Machine
from hardware.telemetry.samples import FIELDS, Sample
from tests.hardware.telemetry.test_api import record
from tests.redis_server import Redis

CHIP = {
    **dict.fromkeys(FIELDS), "npu_id": 3, "chip_id": 0, "temp_c": 41.0, "health": "OK", "aicore_percent": 37,
    "hbm_used_mb": 100, "hbm_total_mb": 32768,
}  # fmt: skip


@pytest.fixture
def api(transactional_db) -> APIClient:
    credential = Credential.objects.create(name="lab", password="secret")
    for name, site, labels in (("n1", "east", ["canary"]), ("n2", "west", []), ("n3", "west", [])):
        Machine.objects.create(
            name=name, host="127.0.0.1", port=1, credential=credential, site=site, labels=labels, simulated=True
        )
    client = APIClient()
    client.force_authenticate(User.objects.create_user("ada"))
    return client


def test_every_npu_is_a_row_with_the_fields_that_were_asked_for(api: APIClient, redis_server: Redis):
    now = time.time()
    record(Sample("n1", now, chips=[CHIP, {**CHIP, "npu_id": 4, "temp_c": None}]), Sample("n2", now, chips=[CHIP]))
    rows = api.get("/api/v1/npus/?fields=machine,npu_id,utilization,memory_used,temperature").json()
    assert rows[0] == {"machine": "n1", "npu_id": 3, "utilization": 37, "memory_used": 100, "temperature": 41.0}
    assert [(row["machine"], row["temperature"]) for row in rows] == [("n1", 41.0), ("n1", None), ("n2", 41.0)]
    assert [row["machine"] for row in api.get("/api/v1/npus/?site=west").json()] == ["n2"]
    assert len(api.get("/api/v1/npus/?label=canary").json()) == 2
    assert len(api.get("/api/v1/npus/?machine=n2,n3").json()) == 1


def test_as_csv_what_was_not_read_is_an_empty_cell(api: APIClient, redis_server: Redis):
    record(Sample("n1", time.time(), chips=[{**CHIP, "temp_c": None}]))
    answer = api.get("/api/v1/npus?fields=utilization,memory_used,temperature&format=csv")
    assert answer["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert rows == [{"utilization": "37", "memory_used": "100", "temperature": ""}]


def test_an_old_reading_says_that_it_is_old(api: APIClient, redis_server: Redis):
    record(Sample("n1", time.time() - 3000, chips=[CHIP]), Sample("n2", time.time(), chips=[CHIP]))
    rows = api.get("/api/v1/npus/?fields=machine,stale,age_s").json()
    assert [(row["machine"], row["stale"]) for row in rows] == [("n1", True), ("n2", False)]


def test_a_field_that_does_not_exist_is_named_with_those_that_do(api: APIClient, redis_server: Redis):
    answer = api.get("/api/v1/npus/?fields=utilization.gpu")
    assert answer.status_code == 400 and "no field utilization.gpu; fields are machine, npu_id" in str(answer.json())
    table = api.get("/api/v1/npus/?fields=x&format=csv")
    assert (table.status_code, table["Content-Type"]) == (400, "application/problem+json")
    assert "There is no field x" in json.loads(table.content)["errors"]["fields"][0]


def test_samples_that_cannot_be_read_are_no_fleet_without_npus(api: APIClient, redis_server: Redis):
    redis_server.kill()
    answer = api.get("/api/v1/npus/?format=csv")
    assert (answer.status_code, json.loads(answer.content)["code"]) == (503, "telemetry-away")
