"""Rollouts on simulated machines: real containers' processes, real gates, a real way back."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import onnx
import pytest

from hardware.inventory.models import Machine
from hardware.simulator import base_image
from hardware.ssh.tunnel import http_request
from jobs.depot.models import Artifact
from jobs.depot.services import ingest
from jobs.rollout.models import Deployment, Release
from jobs.rollout.services import make_release, roll_out
from jobs.services import launch
from jobs.states import JobState
from tests import tiny_model
from tests.worker import read_facts, with_pool, work


def ask(machine: Machine, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    endpoint = machine.endpoint()
    method, data = ("POST", json.dumps(body).encode()) if body else ("GET", b"")
    headers = {"content-type": "application/json"}
    _, answer = with_pool(lambda pool: http_request(pool, endpoint, method, 8000, path, body=data, headers=headers))
    return json.loads(answer)


def image(tmp_path: Path) -> Artifact:
    """The tiny classifier in an image, packaged by the job that packages every model."""
    profile = json.dumps(tiny_model.profile()).encode()
    profile_sha256 = ingest(BytesIO(profile), name="tiny-profile.json", type="profile", actor="ada").sha256
    onnx.save_model(tiny_model.model(), str(tmp_path / "tiny.onnx"))
    base_image.write(tmp_path / "base.tar")
    with (tmp_path / "tiny.onnx").open("rb") as file:
        meta = {"format": "onnx", "profile": profile_sha256}
        model = ingest(file, name="tiny.onnx", type="model", actor="ada", meta=meta)
    with (tmp_path / "base.tar").open("rb") as file:
        base = ingest(file, name="base.tar", type="base-image", actor="ada", meta={"simulated": True})
    params = {"model": model.pk, "base": base.pk, "name": "console/tiny", "tag": "1"}
    job = work(launch("package-image", params, [], actor="ada"))
    assert job.state == JobState.SUCCEEDED, job.failure
    return Artifact.objects.get(type="image")


def release(made: Artifact, version: str, label: str) -> Release:
    fields = {"port": 8000, "devices": [0], "smoke_text": "lost card", "smoke_label": label}
    return make_release(actor="ada", name="tiny", version=version, image=made, **fields)


@pytest.mark.timeout(300)
def test_a_release_that_fails_its_gate_goes_back_and_reaches_no_further_batch(new_fleet, depot, tmp_path: Path):
    fleet = new_fleet(machines=2)
    machines = [read_facts(fleet.enroll(name)) for name in ("kunpeng-01", "kunpeng-02")]
    params = {"driver": depot["driver"], "firmware": depot["firmware"]}
    assert work(launch("install-driver", params, machines, actor="ada")).state == JobState.SUCCEEDED
    for machine in machines:
        machine.refresh_from_db()
    made = image(tmp_path)

    good = release(made, "1.0.0", "card")
    first = work(roll_out(good, machines, 1, actor="ada"))
    assert first.state == JobState.SUCCEEDED, first.failure
    assert set(Deployment.objects.values_list("machine__name", "release__version", "state")) == {
        ("kunpeng-01", "1.0.0", "serving"),
        ("kunpeng-02", "1.0.0", "serving"),
    }
    assert ask(machines[1], "/healthz")["release"] == "tiny:1.0.0"

    wrong = release(made, "1.1.0", "money")
    second = work(roll_out(wrong, machines, 1, actor="ada"))
    assert (second.state, second.failure["code"]) == (JobState.FAILED, "gate-failed")
    assert "kunpeng-01" in second.failure["cause"] and "results.0.label is 'card'" in second.failure["cause"]
    states = [(step.machine.name, step.key, step.state) for step in second.steps.filter(compensates=True, stage=0)]
    assert states == [("kunpeng-01", key, "succeeded") for key in ("remove", "restore", "restored")]
    assert set(second.steps.filter(stage=1).values_list("state", flat=True)) == {"pending"}
    for machine in machines:
        assert ask(machine, "/healthz")["release"] == "tiny:1.0.0"
        answer = ask(machine, "/v1/classify", {"texts": ["open account"]})
        assert answer["results"][0]["label"] == "account"
    assert set(Deployment.objects.values_list("release__version", "state")) == {("1.0.0", "serving")}
