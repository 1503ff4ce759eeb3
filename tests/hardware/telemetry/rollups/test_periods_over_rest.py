from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from hardware.inventory.models import Machine
from hardware.telemetry.alerts.metrics import METRICS as RULED
from hardware.telemetry.rollups import packing
from hardware.telemetry.rollups.records import METRICS
from hardware.telemetry.rollups.store import Row, store
from hardware.telemetry.samples import FIELDS, Sample
from jobs.rollout.vitals import NAMES

ADDRESS = "/api/v1/machines/n1/telemetry/"
BEGAN = 1_799_971_200
# What rules rest on and only the judging of them makes.
JUDGED = {"npus_missing", "clock_off_s", "silent"}
CHIP = {**dict.fromkeys(FIELDS), "chip_id": 0, "health": "OK"}


@pytest.fixture
def api(machine: Machine) -> APIClient:
    client = APIClient()
    client.force_authenticate(User.objects.create_user("ada"))
    return client


@pytest.fixture
def kept(machine: Machine) -> None:
    """Two minutes with samples, two silent ones, one that nobody sampled, and one more."""
    made = []
    for minute, loads in ((0, (10, 30)), (1, (20,)), (2, ()), (3, ()), (5, (50,))):
        at = BEGAN + 60 * minute
        readings = [
            packing.reading(
                Sample(
                    "n1",
                    at + n,
                    chips=[{**CHIP, "npu_id": npu, "aicore_percent": load + npu} for npu in (0, 1)],
                    vitals={"disk_used_percent": 70},
                )
            )
            for n, load in enumerate(loads)
        ]
        gathered = packing.gathered(readings, at)
        made.append(Row(machine.pk, at, gathered.state, packing.pack(gathered)))
    store(made)


def iso(minute: int) -> str:
    return datetime.fromtimestamp(BEGAN + 60 * minute, UTC).isoformat().replace("+00:00", "Z")


SPAN = {"since": iso(0), "until": iso(10)}


def test_periods_come_as_series_with_gaps_and_silent_spans(api: APIClient, kept: None):
    body = api.get(
        ADDRESS, {**SPAN, "step": 60, "metrics": "aicore_percent,disk_used_percent", "stats": "mean,max"}
    ).json()
    assert (body["machine"], body["simulated"], body["step_s"]) == ("n1", True, 60)
    assert body["at"] == [iso(minute) for minute in (0, 1, 2, 3, 5)]
    assert body["states"] == ["ok", "ok", "silent", "silent", "ok"]
    assert body["silent"] == [{"since": iso(2), "until": iso(4)}]
    assert [(npu["npu_id"], npu["chip_id"]) for npu in body["npus"]] == [(0, 0), (1, 0)]
    assert body["npus"][0]["metrics"] == {
        "aicore_percent": {"mean": [20, 20, None, None, 50], "max": [30, 20, None, None, 50]}
    }
    assert body["vitals"]["disk_used_percent"]["max"] == [70, 70, None, None, 70]


def test_a_coarser_step_joins_minutes_and_what_is_left_out_is_chosen(api: APIClient, kept: None):
    body = api.get(ADDRESS, {**SPAN, "step": 300}).json()
    assert body["at"] == [iso(0), iso(5)]
    assert body["npus"][1]["metrics"]["aicore_percent"] == {
        "min": [11, 51], "mean": [21, 51], "max": [31, 51], "p95": [31, 51],
    }  # fmt: skip
    assert set(body["npus"][1]["metrics"]) == {"aicore_percent", "health"}
    assert api.get(ADDRESS, {"since": "24h"}).json()["step_s"] == 300
    assert api.get(ADDRESS, {"since": "30d"}).json()["step_s"] == 7200
    assert api.get(ADDRESS, {"since": "90min"}).json()["at"] == []


def test_the_same_comes_as_a_table(api: APIClient, kept: None):
    answer = api.get(ADDRESS, {**SPAN, "step": 60, "metrics": "aicore_percent", "format": "csv"})
    assert answer["Content-Type"].startswith("text/csv") and "n1-telemetry.csv" in answer["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert rows[1] == {
        "at": datetime.fromtimestamp(BEGAN, UTC).isoformat(), "machine": "n1", "state": "ok", "npu_id": "1",
        "chip_id": "0", "metric": "aicore_percent", "min": "11.0", "mean": "21.0", "max": "31.0", "p95": "31.0",
        "count": "2",
    }  # fmt: skip
    assert [row["state"] for row in rows] == ["ok"] * 4 + ["silent"] * 2 + ["ok"] * 2


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"since": "2h", "until": "3h"}, "not before until"),
        ({"since": "30d", "step": "60"}, "use 900 or more"),
        ({"step": "90"}, "not a valid choice"),
        ({"since": "yesterday"}, "wrong format"),
        ({"stats": "p99"}, "There is no p99"),
        ({"metrics": "temp_c,tmp_c"}, "There is no tmp_c; use aicore_percent, temp_c,"),
        ({"metrics": "disk_used", "format": "csv"}, "There is no disk_used"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_mend(api: APIClient, query: dict[str, str], words: str):
    answer = api.get(ADDRESS, query)
    assert answer.status_code == 400 and words in str(answer.json())


def test_whatever_a_machine_tells_can_be_asked_for(api: APIClient, kept: None):
    of_the_machine = {metric.name for metric in RULED.values() if metric.of == "machine"}
    for name in (*METRICS, *NAMES, *of_the_machine - JUDGED):
        assert api.get(ADDRESS, {**SPAN, "metrics": name}).status_code == 200, name
