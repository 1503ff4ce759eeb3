from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from prometheus_client.parser import text_string_to_metric_families
from rest_framework.authtoken.models import Token

from hardware.inventory.models import Credential, Machine
from hardware.telemetry.metrics import CHIP_GAUGES, NAMED, NODE_GAUGES
from hardware.telemetry.samples import FIELDS, Sample
from tests.hardware.telemetry.test_api import record
from tests.redis_server import Redis
from tests.shared import FOLDER, needs_shared

CHIP = {
    **dict.fromkeys(FIELDS), "npu_id": 3, "chip_id": 0, "temp_c": 41.0, "health": "OK", "aicore_percent": 37,
    "hbm_used_mb": 8192, "hbm_total_mb": 32768,
}  # fmt: skip
NPU = {"npu_id": 3, "chip_id": 0, "name": "910A", "health": "OK", "bus_id": "0000:C1:00.0", "hbm_total_mb": 32768}


@pytest.fixture
def scrape(client, transactional_db):
    lab = Credential.objects.create(name="lab", password="secret")
    Machine.objects.create(name="n1", host="h", credential=lab, facts={"npus": [NPU]}, simulated=True)
    Machine.objects.create(name="n2", host="h", credential=lab, facts={"npus": [{**NPU, "hbm_total_mb": None}]})
    token = Token.objects.create(user=User.objects.create_user("prometheus"))

    def go() -> dict[str, list]:
        headers = {"Authorization": f"Token {token.key}", "Accept": "application/openmetrics-text;version=1.0.0"}
        answer = client.get("/metrics", headers=headers)
        assert answer.status_code == 200 and answer["Content-Type"].startswith("text/plain")
        return {one.name: one.samples for one in text_string_to_metric_families(answer.content.decode())}

    return go


def test_series_have_the_exporters_names_and_labels_and_the_machine(scrape, redis_server: Redis):
    record(Sample("n1", time.time(), chips=[CHIP, {**CHIP, "npu_id": 4, "health": "Alarm"}]))
    found = scrape()
    one, other = found["npu_chip_info_temperature"]
    assert one.value == 41.0 and one.labels == {
        "machine": "n1", "id": "0", "model_name": "910A", "vdie_id": "", "pcie_bus_info": "0000:C1:00.0",
        "namespace": "", "pod_name": "", "container_name": "",
    }  # fmt: skip
    assert other.labels["id"] == "1"
    assert [sample.value for sample in found["npu_chip_info_health_status"]] == [1, 0]
    assert found["npu_chip_info_hbm_utilization"][0].value == 25
    assert (found["machine_npu_nums"][0].value, found["machine_unhealthy_npu_nums"][0].value) == (2, 1)
    assert found["console_machine_simulated"][0].labels == {"machine": "n1"}
    assert abs(one.timestamp - time.time()) < 60


def test_links_processes_and_faults_are_told_with_the_exporters_labels(scrape, redis_server: Redis):
    ill = {**CHIP, "health": "Alarm", "fault_codes": ["80E18402", "0x8C084E00", "?"], "link": 0, "processes": 0}
    busy = {**CHIP, "npu_id": 4, "fault_codes": [], "link": 1, "processes": 2, "process_list": [[7, 300], [8, None]]}
    record(Sample("n1", time.time(), chips=[ill, busy, {**CHIP, "npu_id": 4, "chip_id": 1}]))
    found = scrape()
    name = found["npu_chip_info_name"][0]
    labels = {"machine", "id", "vdie_id", "pcie_bus_info", "namespace", "pod_name", "container_name"}
    assert name.labels.keys() == labels | {"name"} and name.labels["name"] == "910A"
    assert [(one.labels["id"], one.value) for one in found["npu_chip_info_link_status"]] == [("0", 0), ("1", 1)]
    assert [one.value for one in found["npu_chip_info_process_info_num"]] == [0, 2]
    (held,) = found["npu_chip_info_process_info"]
    assert held.labels.keys() == labels | {"model_name", "process_id", "container_id"}
    assert (held.labels["id"], held.labels["process_id"], held.value) == ("1", "7", 300)
    codes = [name for name in found if name.startswith("npu_chip_info_error_code")]
    assert codes == ["npu_chip_info_error_code", "npu_chip_info_error_code_1"]
    assert [found[name][0].value for name in codes] == [0x80E18402, 0x8C084E00]
    assert (found["machine_npu_nums"][0].value, found["machine_card_nums"][0].value) == (3, 2)


def test_what_was_not_read_is_absent_and_never_zero(scrape, redis_server: Redis):
    record(Sample("n1", time.time(), chips=[{**CHIP, "aicore_percent": None, "health": None}]))
    found = scrape()
    assert "npu_chip_info_power" not in found and "npu_chip_info_utilization" not in found
    assert "npu_chip_info_health_status" not in found and found["machine_unknown_npu_nums"][0].value == 1


def test_a_board_without_hbm_has_its_memory_under_the_other_names(scrape, redis_server: Redis):
    record(Sample("n2", time.time(), chips=[CHIP]))
    found = scrape()
    assert found["npu_chip_info_used_memory"][0].value == 8192 and "npu_chip_info_hbm_used_memory" not in found


def test_old_readings_and_machines_that_read_none_are_absent(scrape, redis_server: Redis):
    record(Sample("n1", time.time() - 3000, chips=[CHIP]), Sample("n2", time.time(), state="no-driver"))
    assert not [name for name in scrape() if name.startswith(("npu_", "machine_"))]


def test_no_open_job_is_told_as_none_and_not_left_out(scrape, redis_server: Redis):
    found = {sample.labels["state"]: sample.value for sample in scrape()["console_jobs"]}
    assert found.keys() >= {"queued", "waiting", "running"} and set(found.values()) == {0}


def test_nobody_reads_them_without_a_token(client, db):
    assert client.get("/metrics").status_code in (401, 403)


@needs_shared
def test_every_name_is_one_of_the_exporters():
    known = (FOLDER / "ascend" / "METRICS.md").read_text()
    for name in [*CHIP_GAUGES, *NAMED, *NODE_GAUGES]:
        short = re.sub(r"_\d$", "", re.sub(r"^npu_chip_info", "", name))
        assert name in known or f"{short}" in known, name


def test_the_board_asks_only_for_series_that_there_are():
    board = json.loads((Path(__file__).resolve().parents[3] / "deploy/grafana/npu-fleet.json").read_text())
    asked = {name for panel in board["panels"] for target in panel.get("targets", ()) for name in
             re.findall(r"\b((?:npu|machine|console)_[a-z_]+)\b", target["expr"])}  # fmt: skip
    assert asked and asked <= {*CHIP_GAUGES, *NODE_GAUGES, "console_jobs", "console_machine_simulated"}
