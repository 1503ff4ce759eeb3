"""An ONNX of the depot that atc would refuse, mended by a job."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from jobs.depot.models import Artifact
from jobs.depot.services import ingest
from jobs.failures import PlanRefused
from jobs.services import launch, plan
from tests.jobs.conversion.test_mend import exported
from tests.worker import work


@pytest.fixture
def model(settings, tmp_path: Path, transactional_db) -> Artifact:
    settings.DEPOT_DIR = tmp_path / "depot"
    with exported(tmp_path / "vision.onnx").open("rb") as file:
        return ingest(file, name="vision.onnx", type="model", actor="ada", meta={"format": "onnx", "max_length": 8})


def test_the_result_has_the_opset_and_sizes_that_were_asked_for_and_lies_in_the_depot(model):
    given = {"model": model.pk, "opset": 13, "fix_shape": "x:2,32"}
    job = work(launch("mend-model", given, [], actor="ada"))
    assert job.state == "succeeded", job.failure
    made = Artifact.objects.get(name="vision-mended.onnx")
    assert (made.meta["from"], made.meta["max_length"], made.meta["opset"]) == (model.sha256, 8, 13)
    assert made.meta["inputs"] == [{"name": "x", "type": "float", "shape": [2, 32]}]
    with made.path.open("rb") as file:
        assert "Shape" not in {node.op_type for node in onnx.load(file).graph.node}
    report = json.loads(Artifact.objects.get(name="vision-mended-report.json").path.read_text())
    told = job.result["report"]
    assert report["trial"]["runs"] == told["trial"]["runs"] == 2
    assert report["shapes"] and told["shapes"] == [] and report["folded"] == told["folded"] > 0


def test_an_input_that_the_model_has_not_fails_the_job_and_leaves_nothing(model):
    job = work(launch("mend-model", {"model": model.pk, "fix_shape": "image:1,32"}, [], actor="ada"))
    assert job.state == "failed" and "image" in job.failure["cause"]
    assert not Artifact.objects.filter(name__contains="mended").exists()


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"fix_shape": "x"}, "fix_shape"),
        ({"fix_shape": "x:-1,32"}, "fix_shape"),
        ({"opset": 3}, "opset"),
        ({"fold": False}, "fold"),
    ],
)
def test_a_wish_that_is_none_is_refused_at_its_field(model, params, field):
    with pytest.raises(PlanRefused) as refused:
        plan("mend-model", {"model": model.pk, **params}, [])
    assert refused.value.field == field


def test_what_is_no_onnx_is_refused(model):
    Artifact.objects.filter(pk=model.pk).update(meta={"format": "om"})
    with pytest.raises(PlanRefused) as refused:
        plan("mend-model", {"model": model.pk}, [])
    assert (refused.value.code, refused.value.field) == ("model-is-om", "model")


def test_a_long_name_fits_where_postgresql_takes_no_more_than_a_title_may_have(model):
    Artifact.objects.filter(pk=model.pk).update(name="v" * 240 + ".onnx")
    job = launch("mend-model", {"model": model.pk}, [], actor="ada")
    step = job.steps.get()
    step.clean_fields(exclude=["job"])
    assert len(step.title) == 200 and step.title.startswith("Mend vvv") and step.title.endswith("…")
    assert job.plan["stages"][0]["lanes"][0]["steps"][0]["title"] == f"Mend {'v' * 240}.onnx"
