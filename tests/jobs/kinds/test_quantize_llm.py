"""Plans of w8a8 quantization on a machine, and what msModelSlim's end means."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest

from jobs import registry
from jobs.depot.services import ingest
from jobs.failures import JobFailed, PlanRefused
from jobs.plan import Plan, Recall, RunCommand, Step
from jobs.services import plan
from tests.jobs.examples import facts
from tests.jobs.kinds.test_install_kinds import with_facts

ASKED = {"name": "q", "model_path": "/data/models/Qwen", "model_type": "Qwen2.5-7B-Instruct", "devices": "0,1"}


@pytest.fixture
def ready(settings, tmp_path, transactional_db, machine):
    settings.DEPOT_DIR = tmp_path / "depot"
    return with_facts(machine, facts())


def steps(made: Plan) -> dict[str, Any]:
    return {step.key: step.action for _, lane in made.lanes() for step in lane.steps}


def test_msmodelslim_is_told_what_its_quick_start_says(ready):
    made, _ = plan("quantize-llm", ASKED, [ready])
    found = steps(made)
    assert list(found) == ["look", "quantize", "finish", "fetch-manifest", "clean"]
    assert (
        "msmodelslim quant --model_path /data/models/Qwen --save_path /data/models/q.part --device npu:0,1 "
        "--model_type Qwen2.5-7B-Instruct --quant_type w8a8 --trust_remote_code False </dev/null"
    ) in found["quantize"].command
    assert registry.get("quantize-llm").claim(ASKED, None).npus == (0, 1)


def test_the_script_for_qwen3_moe_is_told_what_vllm_ascends_guide_says(ready):
    asked = {**ASKED, "recipe": "qwen3-moe", "trust_remote_code": True, "source_folder": "/opt/slim"}
    command = steps(plan("quantize-llm", asked, [ready])[0])["quantize"].command
    assert "cd /opt/slim/example/Qwen3-MOE && ASCEND_RT_VISIBLE_DEVICES=0,1 " in command
    assert (
        "python3 quant_qwen_moe_w8a8.py --model_path /data/models/Qwen --save_path /data/models/q.part "
        "--anti_dataset ../common/qwen3-moe_anti_prompt_50.json "
        "--calib_dataset ../common/qwen3-moe_calib_prompt_50.json --trust_remote_code True"
    ) in command


@pytest.mark.parametrize(
    ("keep", "size", "comes_back"),
    [("by-size", 1 << 30, True), ("by-size", 9 << 30, False), ("fetch", 9 << 30, True), ("leave", 1 << 30, False)],
)
def test_weights_come_back_or_stay_by_their_size_and_the_manifest_always_comes(ready, keep, size, comes_back):
    checkpoint = ingest(BytesIO(b"c"), name="c.tar", type="checkpoint", actor="ada")
    type(checkpoint).objects.update(size=size)
    asked = {**ASKED, "model_path": "", "checkpoint": checkpoint.pk, "keep": keep}
    found = steps(plan("quantize-llm", asked, [ready])[0])
    assert ("fetch" in found) is comes_back and "fetch-manifest" in found
    if comes_back:
        said = found["fetch"].product.meta
        ingest(BytesIO(b"r"), name="q.tar", type="checkpoint", actor="job", meta={
            **said, "provenance": {**said["provenance"], "job": 3}})  # fmt: skip
        assert isinstance(steps(plan("quantize-llm", asked, [ready])[0])["recall"], Recall)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"model_path": ""}, "model_path"), ({"model_path": "/data/$(reboot)"}, "model_path"),
        ({"model_path": "/data/../etc"}, "model_path"), ({"model_type": ""}, "model_type"),
        ({"model_type": "a b"}, "model_type"), ({"devices": "all"}, "devices"), ({"folder": "data"}, "folder"),
    ],
)  # fmt: skip
def test_what_can_not_be_is_refused_at_its_field(ready, changed, field):
    with pytest.raises(PlanRefused) as refused:
        plan("quantize-llm", {**ASKED, **changed}, [ready])
    assert refused.value.field == field


def test_a_machine_without_torch_or_msmodelslim_is_refused(ready):
    with_facts(ready, replace(ready.read, python_packages={"torch": "2.1.0"}))
    with pytest.raises(PlanRefused, match="has no torch_npu, msmodelslim"):
        plan("quantize-llm", ASKED, [ready])


@pytest.mark.parametrize(
    ("key", "status", "log", "code"),
    [
        ("look", 1, "/data/models/q is there already; nothing is overwritten.", "not-ready"),
        ("quantize", 73, "", "result-missing"),
        ("quantize", 1, "RuntimeError: NPU out of memory. Tried to allocate 2 GiB", "npu-out-of-memory"),
        ("quantize", 1, "ModuleNotFoundError: No module named 'accelerate'", "msmodelslim-failed"),
    ],
)
def test_what_its_end_means(key, status, log, code):
    with pytest.raises(JobFailed) as failed:
        registry.get("quantize-llm").judge(Step(key, "x", RunCommand("true")), status, log)
    assert failed.value.code == code and failed.value.mend
