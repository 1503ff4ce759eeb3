"""Plans of conversions on machines: what atc and converter_lite are told, and what is refused before it is told."""

from __future__ import annotations

import shlex
from dataclasses import replace
from io import BytesIO
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from hardware.inventory.facts import read
from jobs import registry
from jobs.depot.models import Artifact
from jobs.depot.services import ingest
from jobs.failures import JobFailed, PlanRefused
from jobs.plan import Plan, Recall, RunCommand, Step
from jobs.services import launch, plan
from tests.jobs.kinds.test_install_kinds import with_facts
from tests.probe_text import probe_text
from tests.shared import FOLDER, needs_shared

LITE = "/opt/mindspore-lite-2.4.10-linux-aarch64/tools/converter/converter/converter_lite"


def store(name: str, type: str, data: bytes = b"", **meta: Any) -> Artifact:
    return ingest(BytesIO(data or name.encode()), name=name, type=type, actor="ada", meta=meta)


@pytest.fixture
def ready(settings, tmp_path, transactional_db, machine):
    settings.DEPOT_DIR = tmp_path / "depot"
    facts = read(probe_text(driver="24.1.0", npus=True, cann="8.0.0"))
    return with_facts(machine, replace(facts, converter_lite=LITE))


@pytest.fixture
def image_model(ready) -> int:
    """One image in, its size and the batch free."""
    made = helper.make_graph(
        [helper.make_node("Relu", ["image"], ["y"])],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3, "h", "w"])],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    return store("vision.onnx", "model", onnx.ModelProto.SerializeToString(model)).pk


def command(made: Plan, key: str = "atc") -> str:
    steps = [step for _, lane in made.lanes() for step in lane.steps]
    (found,) = [step.action.command for step in steps if step.key == key and isinstance(step.action, RunCommand)]
    return found


def told(made: Plan, key: str = "atc") -> dict[str, str]:
    """The options as the tool gets them from a shell."""
    words = [word for word in shlex.split(command(made, key)) if word.startswith("--")]
    return dict(word.removeprefix("--").partition("=")[::2] for word in words)


def asked(model: int, **more: Any) -> dict[str, Any]:
    return {"to": "om", "name": "vision", "model": model, **more}


def test_the_depot_knows_a_models_inputs_from_its_own_graph(image_model):
    assert Artifact.objects.get(pk=image_model).meta["inputs"] == [
        {"name": "image", "type": "float", "shape": ["n", 3, "h", "w"]}
    ]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"dynamic_image_size": "224,224;448,448"}, {"input_shape": "image:1,3,-1,-1", "input_format": "NCHW"}),
        ({"dynamic_dims": "1,224,224;2,448,448"}, {"input_shape": "image:-1,3,-1,-1", "input_format": "ND"}),
        (
            {"dynamic_batch_size": "1, 4", "input_shape": "image:-1,3,224,224"},
            {"input_shape": "image:-1,3,224,224", "dynamic_batch_size": "1,4"},
        ),
        (
            {"input_shape": "image:1,3,224,224", "precision_mode": "force_fp32", "output_type": "FP16"},
            {"precision_mode": "force_fp32", "output_type": "FP16", "framework": "5", "soc_version": "Ascend910A"},
        ),
    ],
)
def test_atc_is_told_shapes_profiles_and_precision(ready, image_model, params, expected):
    made, _ = plan("convert", asked(image_model, **params), [ready])
    assert expected.items() <= told(made).items()


@pytest.mark.parametrize(
    ("params", "field", "words"),
    [
        ({}, "input_shape", "image: h, image: w"),
        ({"dynamic_batch_size": "4"}, "dynamic_batch_size", "takes 2 to 100"),
        ({"dynamic_batch_size": "1,4000"}, "dynamic_batch_size", "a batch of 4000"),
        ({"dynamic_batch_size": "1,2", "input_shape": "image:1,3,8,8"}, "dynamic_batch_size", "has no -1"),
        ({"dynamic_dims": "1,2;3,4"}, "dynamic_dims", "3 times -1"),
        ({"dynamic_dims": "1,8,8;2,8,8", "dynamic_batch_size": "1,2"}, "dynamic_dims", "one of the dynamic"),
        ({"dynamic_image_size": "8,8;9,9", "aipp_fields": {"input_format": "RGB888_U8", "width": 8, "height": 8}},
         "aipp_fields", "neither crops"),
        ({"soc_version": "Ascend910", "input_shape": "image:1,3,8,8"}, "soc_version", "family of chips"),
        ({"to": "mindir", "precision_mode": "force_fp16"}, "precision_mode", "OM only"),
        ({"aipp_fields": {"input_format": "RGB888_U8", "mean": [1]}}, "aipp_fields", "3 channels"),
        ({"aipp_fields": {"input_format": "RGB888_U8", "crop": [0, 0, 9, 9], "width": 8, "height": 8}},
         "aipp_fields", "not within 8 x 8"),
    ],
)  # fmt: skip
def test_what_atc_would_refuse_is_refused_at_its_field(ready, image_model, params, field, words):
    given = params if params.get("dynamic_image_size") or not params.get("aipp_fields") else {
        **params, "input_shape": "image:1,3,8,8"
    }  # fmt: skip
    with pytest.raises(PlanRefused) as refused:
        plan("convert", asked(image_model, **given), [ready])
    assert refused.value.field == field and refused.value.mend
    assert words in f"{refused.value.cause} {refused.value.mend}"


def test_an_input_that_the_option_cannot_name_is_refused_before_the_job(ready):
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("a; b", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["a; b"], ["y"])], "g", ports[:1], ports[1:])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    model = store("odd.onnx", "model", onnx.ModelProto.SerializeToString(made)).pk
    with pytest.raises(PlanRefused, match="semicolon"):
        plan("convert", asked(model), [ready])


def test_a_value_within_a_field_that_is_wrong_is_named_in_words(ready, image_model):
    wrong = {"input_format": "RGB888_U8", "width": 8, "mean": [1, "many"]}
    with pytest.raises(PlanRefused) as refused:
        plan("convert", asked(image_model, aipp_fields=wrong), [ready])
    assert refused.value.field == "aipp_fields"
    assert refused.value.cause == "aipp_fields: mean: 1: A valid integer is required."


def test_nothing_that_is_typed_becomes_a_piece_of_the_command(ready, image_model):
    evil = "im$(touch owned)'`age|&:1,3,8,8"
    made, _ = plan("convert", asked(image_model, input_shape=evil), [ready])
    assert told(made)["input_shape"] == evil
    made, _ = plan("convert", {**asked(image_model, input_shape=evil), "to": "mindir"}, [ready])
    assert told(made, "converter")["inputShape"] == evil


def test_aipp_comes_as_a_file_of_the_depot_or_of_its_fields(ready, image_model):
    config = store("aipp.cfg", "aipp", b"aipp_op { aipp_mode: static input_format: YUV420SP_U8 }")
    made, _ = plan("convert", asked(image_model, input_shape="image:1,3,8,8", aipp=config.pk), [ready])
    assert told(made)["insert_op_conf"] == "aipp.cfg" and told(made)["input_format"] == "NCHW"
    (sent,) = [s.action for _, lane in made.lanes() for s in lane.steps if s.key == "send-aipp"]
    assert sent.sha256 == config.sha256 and sent.destination.endswith("/aipp.cfg")
    fields = {"input_format": "RGB888_U8", "width": 16, "height": 16, "crop": [4, 4, 8, 8], "factor": [0.5, 0.25, 1]}
    made, _ = plan("convert", asked(image_model, input_shape="image:1,3,8,8", aipp_fields=fields), [ready])
    written = shlex.split(command(made))[shlex.split(command(made)).index("%s") + 1]
    assert written.startswith("aipp_op {\n    aipp_mode: static\n") and "var_reci_chn_1: 0.25" in written
    assert "load_start_pos_w: 4" in written and "crop_size_h: 8" in written


def test_converter_lite_is_told_what_makes_a_mindir_for_ascend(ready, image_model):
    made, _ = plan("convert", {**asked(image_model), "to": "mindir"}, [ready])
    assert told(made, "converter") == {
        "fmk": "ONNX", "saveType": "MINDIR", "optimize": "ascend_oriented", "modelFile": "model.onnx",
        "outputFile": "vision",
    }  # fmt: skip
    assert LITE in command(made, "converter") and "tools/converter/lib" in command(made, "converter")
    with_facts(ready, replace(ready.read, converter_lite=None))
    with pytest.raises(PlanRefused, match="has no converter_lite"):
        plan("convert", {**asked(image_model), "to": "mindir"}, [ready])


@pytest.mark.parametrize(("name", "to"), [("a.om", "om"), ("a.mindir", "om"), ("a.air", "mindir")])
def test_a_model_that_the_tool_does_not_read_is_refused(ready, name, to):
    with pytest.raises(PlanRefused, match="does not read") as refused:
        plan("convert", {"to": to, "name": "x", "model": store(name, "model").pk}, [ready])
    assert refused.value.field == "model"


def result_of(made: Plan) -> dict[str, Any]:
    (fetch,) = [step.action for _, lane in made.lanes() for step in lane.steps if step.key == "fetch"]
    meta: dict[str, Any] = fetch.product.meta
    return {**meta, "provenance": {**meta["provenance"], "job": 7}}


def test_a_stored_result_is_taken_only_when_everything_that_decides_is_the_same(ready, image_model):
    params = asked(image_model, input_shape="image:1,3,8,8")
    store("vision.om", "model", **result_of(plan("convert", params, [ready])[0]))
    made, _ = plan("convert", {**params, "name": "renamed"}, [ready])
    (lane,) = [lane for _, lane in made.lanes()]
    assert lane.machine is None and isinstance(lane.steps[0].action, Recall) and made.queue == "machines"
    assert lane.steps[0].title == "Take vision.om, made by job 7"
    assert launch("convert", params, [ready], actor="ada").mutates is False

    def is_made(**changed: Any) -> bool:
        return bool(command(plan("convert", {**params, **changed}, [ready])[0]))

    assert is_made(again=True) and is_made(precision_mode="force_fp32") and is_made(input_shape="image:2,3,8,8")
    for facts in (read(probe_text(npus=True, cann="8.0.1")), replace(ready.read, simulated=False)):
        with_facts(ready, facts)
        assert is_made()


def judged(key: str, status: int, log: str) -> dict[str, Any]:
    return registry.get("convert").judge(Step(key, "Convert", RunCommand("true")), status, log)


@needs_shared
def test_error_lines_before_a_success_are_told_and_fail_nothing():
    log = (FOLDER / "ascend/other/converter_lite-SUCCESS-with-ERROR-lines--1.1.0.txt").read_text()
    warnings = judged("converter", 0, log)["warnings"]
    assert len(warnings) == 3 and "ReadProtoFromBinaryFile" in warnings[0]


@needs_shared
@pytest.mark.parametrize("status", [0, 1])
def test_errors_fail_it_whatever_the_exit_code_and_the_first_is_the_cause(status):
    log = (FOLDER / "ascend/other/converter_lite-FAIL-onnx-parse--2024-07.txt").read_text()
    with pytest.raises(JobFailed) as failed:
        judged("converter", status, log)
    assert failed.value.cause == "converter_lite refused the model: pooling op not support dilations now"


@pytest.mark.parametrize(
    ("key", "status", "log", "code"),
    [
        ("atc", 73, "ATC run success, welcome to the next use.", "result-missing"),
        ("converter", 73, "CONVERT RESULT SUCCESS:0", "result-missing"),
        ("converter", 0, "CONVERT RESULT FAILED:-1", "converter-refused"),
        ("converter", 127, "sh: converter_lite: not found", "toolkit-missing"),
        ("atc", 0, "", "atc-refused"),
    ],
)
def test_exit_code_closing_line_and_file_have_to_agree(key, status, log, code):
    with pytest.raises(JobFailed) as failed:
        judged(key, status, log)
    assert failed.value.code == code and failed.value.mend
