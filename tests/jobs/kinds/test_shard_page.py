"""The page of a parallel plan, from a job that a worker carried out, and the files that people take from it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client

from hardware.inventory.facts import NpuPort
from jobs.depot.models import Artifact
from jobs.models import Job
from jobs.services import launch
from tests.jobs.examples import artifact, facts
from tests.jobs.kinds.test_install_kinds import with_facts
from tests.worker import work


@pytest.fixture
def person(settings, tmp_path: Path, transactional_db) -> Client:
    settings.DEPOT_DIR = tmp_path / "depot"
    made = Client()
    made.force_login(User.objects.create_user("ada"))
    return made


@pytest.fixture
def two(machine, second) -> list:
    """Machines with chips of the second generation, each chip with an address."""
    known = facts()
    npus = tuple(replace(npu, generation="910B", hbm_total_mb=65536) for npu in known.npus)
    ports = [tuple(NpuPort(n, f"192.168.{n}.{subnet}", "255.255.255.0") for n in range(4)) for subnet in (1, 2)]
    return [
        with_facts(one, replace(known, npus=npus, npu_ports=p)) for one, p in zip((machine, second), ports, strict=True)
    ]


def words(person: Client, job: Job) -> str:
    answer = person.get(f"/jobs/{job.pk}/report/")
    assert answer.status_code == 200
    return " ".join(re.sub(r"<[^>]+>", " ", answer.content.decode()).split())


def test_a_plan_is_shown_with_degrees_memory_shards_and_the_manuals_sixty_percent(person, two):
    asked = {"name": "deepseek-13b", "size": "13B", "batch": 4, "across": 12.5}
    job = work(launch("shard", asked, two, actor="ada"))
    assert job.state == "succeeded", job.failure
    best = job.result["report"]["best"]
    page = words(person, job)
    assert f"Tensor {best['tensor']} Pipeline {best['pipeline']} Data {best['data']}" in page
    assert f"{best['tensor']} × {best['pipeline']} × {best['data']} chosen" in page
    for part in ("Weights", "Key-value cache", "Activations", "Exchange buffers", "In use before it starts"):
        assert part in page
    # 13B over two machines, beside the manual's four.
    assert "6.50B were it cut over all 2 machines; the manual: 13B in 4 × 3.25B" in page
    gradients = job.result["report"]["gradients"]
    for name in ("all_bytes", "busiest_port", "seconds"):
        assert f"{gradients['saved'][name] * 100:.1f} %" in page
    assert "reached" in page and "who serves exchanges no gradients" in page
    assert "vllm serve /models/deepseek-13b" in page and "export HCCL_IF_IP=10.1.1.5" in page
    person.cookies["django_language"] = "zh-hans"
    chinese = words(person, job)
    for english in ("Ring", "Memory", "Weights", "smallest", "Splits", "replicas", "Machines"):
        assert english not in chinese


def test_without_a_measured_link_no_time_is_given_and_with_one_machine_nothing_is_compared(person, two):
    asked = {"name": "m", "size": "7B"}
    both = words(person, work(launch("shard", asked, two, actor="ada")))
    assert "no time is given" in both and "Time on the measured link" not in both and "not measured" in both
    one = words(person, work(launch("shard", asked, two[:1], actor="ada")))
    assert "there is nothing to compare" in one


def test_rank_table_and_launch_parameters_are_taken_from_the_page_as_they_lie_in_the_depot(person, two):
    job = work(launch("shard", {"name": "m", "size": "13B"}, two, actor="ada"))
    page = person.get(f"/jobs/{job.pk}/report/").content.decode()
    made = {one["type"]: one for one in job.result["artifacts"]}
    assert set(made) == {"parallel-plan", "launch-parameters", "rank-table"}
    for one in made.values():
        assert f'href="/depot/{one["id"]}/file/"' in page
        answer = person.get(f"/depot/{one['id']}/file/")
        assert answer.content == Artifact.objects.get(pk=one["id"]).path.read_bytes()
        assert answer["Content-Disposition"] == f'attachment; filename="{one["name"]}"'
        assert person.get(f"/api/v1/artifacts/{one['id']}/file/").content == answer.content
    table = json.loads(person.get(f"/depot/{made['rank-table']['id']}/file/").content)
    assert table["server_count"] == "2"


def test_what_goes_to_machines_by_jobs_is_not_taken_from_the_depot_and_changed_bytes_are_not_given(person):
    model = artifact("m.onnx", "model")
    for path in (f"/depot/{model.pk}/file/", f"/api/v1/artifacts/{model.pk}/file/"):
        assert person.get(path).status_code == 404
    plan = artifact("m-plan.json", "parallel-plan")
    plan.path.chmod(0o644)
    plan.path.write_bytes(b"{}")
    refused = person.get(f"/depot/{plan.pk}/file/")
    assert refused.status_code == 410 and b"has changed" in refused.content
    assert person.get(f"/api/v1/artifacts/{plan.pk}/file/").json()["code"] == "artifact-corrupt"
    assert Client().get(f"/depot/{plan.pk}/file/").status_code == 302
