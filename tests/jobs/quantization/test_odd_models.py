"""Unusual models: names that are there twice, weights that are given out, outputs that are no tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from jobs.quantization import quantize
from jobs.quantization.errors import QuantizationRefused
from jobs.quantization.options import Options
from jobs.quantization.samples import made_up
from tests.jobs.quantization import models
from tests.jobs.quantization.models import FLOAT, SIZE, port, save, weight

SCHEMES = ["int8-weight", "int8-dynamic", "int4"]


def twice_an_initializer() -> onnx.ModelProto:
    content = models.matmul()
    content.graph.initializer.append(weight("w", SIZE, 64, seed=2))
    return content


def initializer_and_constant() -> onnx.ModelProto:
    content = models.matmul()
    content.graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=weight("", SIZE, 64, seed=2)))
    return content


def inside_and_outside() -> onnx.ModelProto:
    """Bodies store tensors under a name that they see outside as well."""
    content = models.branches(own=True)
    content.graph.initializer.append(weight("mine", SIZE, 64, seed=8))
    content.graph.node.append(helper.make_node("MatMul", ["h", "mine"], ["z"]))
    content.graph.output.append(port("z", FLOAT, "rows", 64))
    return content


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("made", [twice_an_initializer, initializer_and_constant])
def test_of_a_name_that_is_there_twice_what_onnx_runtime_reads_is_quantized_and_the_report_says_so(
    tmp_path: Path, made, scheme
):
    source, out = save(made(), tmp_path / "in.onnx"), tmp_path / "out.onnx"
    report = quantize(source, out, scheme, Options(calibration=rows(tmp_path), block=32))
    assert report.agreement.cosine_min and report.agreement.cosine_min > 0.98
    assert any("is stored more than once" in line for line in report.warnings)
    onnx.checker.check_model(str(out))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_body_reads_what_it_stores_whatever_has_that_name_outside(tmp_path: Path, scheme):
    source, out = save(inside_and_outside(), tmp_path / "in.onnx"), tmp_path / "out.onnx"
    report = quantize(source, out, scheme, Options(calibration=rows(tmp_path), block=32))
    assert report.agreement.cosine_min and report.agreement.cosine_min > 0.98
    assert report.tensors_quantized == 4 and not report.warnings


def also_given_out(operator: str, **attributes: int) -> onnx.ModelProto:
    content = models.matmul()
    content.graph.node.append(helper.make_node(operator, ["w"], ["z"], **attributes))
    shape = (64, SIZE) if operator == "Transpose" else (SIZE, 64)
    content.graph.output.append(port("z", attributes.get("to", FLOAT), *shape))
    return content


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    "operator, attributes",
    [("Identity", {}), ("Transpose", {}), ("Cast", {"to": TensorProto.FLOAT16})],
    ids=["as it is", "transposed", "in another type"],
)
def test_a_weight_that_is_given_out_as_well_stays_readable(tmp_path: Path, scheme, operator, attributes):
    source = save(also_given_out(operator, **attributes), tmp_path / "in.onnx")
    report = quantize(source, tmp_path / "out.onnx", scheme, Options(block=32))
    assert report.agreement.cosine_min and report.agreement.cosine_min > 0.99


def test_a_weight_whose_other_copy_nobody_reads_is_readable_too(tmp_path: Path):
    content = models.matmul()
    content.graph.node.append(helper.make_node("Cast", ["w"], ["unread"], to=TensorProto.FLOAT16))
    quantize(save(content, tmp_path / "in.onnx"), tmp_path / "out.onnx", "int4", Options(block=32))


@pytest.mark.parametrize("copied", [False, True], ids=["as it is", "by an Identity"])
def test_a_loop_that_hands_its_weight_on_multiplies_by_4_bits(tmp_path: Path, copied):
    content = models.loop_that_hands_on()
    if copied:
        body = content.graph.node[0].attribute[0].g
        body.node.append(helper.make_node("Identity", ["kernel"], ["kernel_out"]))
        body.output[-1].name = "kernel_out"
    report = quantize(save(content, tmp_path / "in.onnx"), tmp_path / "out.onnx", "int4", Options(block=32))
    assert [layer.bits for layer in report.layers] == [4] and report.agreement.measured


def test_a_model_that_was_quantized_in_part_is_quantized_again(tmp_path: Path):
    content = models.shared()
    content.graph.initializer.append(weight("v", SIZE, 64, seed=4))
    content.graph.node[-1].input[1] = "v"
    content.metadata_props.add(key="quantization", value="somebody's")
    source = save(content, tmp_path / "in.onnx")
    first = quantize(source, tmp_path / "first.onnx", "int8-static", Options(calibration=rows(tmp_path)))
    assert first.tensors_quantized == 2
    quantize(source, tmp_path / "out.onnx", "int8-weight")
    told = onnx.load(tmp_path / "out.onnx").metadata_props
    assert [(entry.key, entry.value) for entry in told] == [("quantization", "int8-weight")]


def rows(folder: Path) -> Path:
    path = folder / "rows.npz"
    np.savez(path, x=np.random.default_rng(0).standard_normal((8, SIZE)).astype(np.float32))
    return path


def test_outputs_that_are_sequences_or_maps_are_compared(tmp_path: Path):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Softmax", ["h"], ["likely"], axis=1),
        helper.make_node("SequenceConstruct", ["h", "likely"], ["both"]),
        helper.make_node("ZipMap", ["likely"], ["named"], domain="ai.onnx.ml", classlabels_int64s=list(range(64))),
    ]
    content = models.model(nodes, [weight("w", SIZE, 64)])
    of_maps = helper.make_sequence_type_proto(
        helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(FLOAT, None))
    )
    del content.graph.output[:]
    content.graph.output.append(helper.make_value_info("named", of_maps))
    content.graph.output.append(helper.make_tensor_sequence_value_info("both", FLOAT, ["rows", 64]))
    content.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))
    report = quantize(save(content, tmp_path / "in.onnx"), tmp_path / "out.onnx", "int8-weight")
    assert report.agreement.measured and report.agreement.agreement == 1.0
    assert report.agreement.cosine_min and 0.99 < report.agreement.cosine_min < 1


def test_a_model_whose_ports_have_no_shape_is_quantized(tmp_path: Path):
    content = models.matmul()
    for value in (*content.graph.input, *content.graph.output):
        value.type.tensor_type.ClearField("shape")
    source, out = save(content, tmp_path / "in.onnx"), tmp_path / "out.onnx"
    report = quantize(source, out, "int8-weight", Options(calibration=rows(tmp_path)))
    assert report.agreement.cosine_min and report.agreement.cosine_min > 0.999
    assert not onnx.load(out).graph.input[0].type.tensor_type.HasField("shape")


@pytest.mark.parametrize(
    "code, change",
    [
        ("opset-too-old", lambda content: content.opset_import[0].__setattr__("version", 6)),
        ("model-invalid", lambda content: content.graph.node[0].ClearField("input")),
        ("model-invalid", lambda content: content.graph.node[0].ClearField("output")),
        ("model-invalid", lambda content: content.graph.node[0].__setattr__("op_type", "MatMull")),
    ],
    ids=["before opset 7", "nothing read", "nothing made", "no such operator"],
)
def test_what_no_scheme_can_take_is_said_before_a_weight_is_read(tmp_path: Path, code, change):
    content = models.matmul()
    change(content)
    told: list[str] = []
    source = save(content, tmp_path / "in.onnx")
    for scheme in SCHEMES:
        with pytest.raises(QuantizationRefused) as refused:
            quantize(source, tmp_path / "out.onnx", scheme, progress=lambda share, line: told.append(line))
        assert refused.value.code == code
    assert not told and [path.name for path in tmp_path.iterdir()] == ["in.onnx"]


def test_bodies_that_hand_two_names_on_each_the_other_way_round_are_no_riddle(tmp_path: Path):
    def body(name: str, one: str, other: str) -> onnx.GraphProto:
        nodes = [
            helper.make_node("Identity", [one], [other]),
            helper.make_node("Gather", ["table", other], [name]),
        ]
        return helper.make_graph(nodes, name, [], [port(name, FLOAT, "rows", 64)])

    # As ONNX Runtime has it: names of one body say nothing in the other.
    nodes = [
        helper.make_node("Identity", ["ids"], ["a"]),
        helper.make_node("If", ["yes"], ["y"], then_branch=body("t", "a", "b"), else_branch=body("e", "b", "a")),
    ]
    stored = [weight("table", 90, 64), numpy_helper.from_array(np.array(True), "yes")]
    content = models.model(nodes, stored, [port("ids", TensorProto.INT64, "rows")])
    made_up(content, [])


def test_very_large_weights_are_refined_without_a_word_on_stderr(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    content = models.matmul()
    values = numpy_helper.to_array(content.graph.initializer[0]).copy()
    values[:, 3] = 1e30
    values[0, 4] = 3e38
    content.graph.initializer[0].CopyFrom(numpy_helper.from_array(values, "w"))
    with np.errstate(all="warn"):
        quantize(save(content, tmp_path / "in.onnx"), tmp_path / "out.onnx", "int4", Options(block=32, method="hqq"))
    assert capfd.readouterr().err == ""
