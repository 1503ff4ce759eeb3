"""Graphs that parse and do not hang together, and weights beside a model that are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from jobs.conversion.checks.model import check_model
from jobs.conversion.checks.shapes import parse_input_shape
from jobs.conversion.errors import ConversionRefused
from jobs.conversion.mend.mended import Wish, mend
from jobs.conversion.shapes import default_shape


def saved(path: Path, nodes: list[onnx.NodeProto], **external: Any) -> Path:
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 8]) for name in ("x", "y")]
    weight = numpy_helper.from_array(np.ones((8, 8), np.float32), "w")
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path), **external)
    return path


def node(kind: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), [output], **attributes)


def body(reads: str) -> onnx.GraphProto:
    out = helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)
    return helper.make_graph([node("Relu", reads, "inner")], "body", [], [out])


BROKEN = {
    "a ring": ([node("Add", "x z", "y"), node("Relu", "y", "z")], "wait for themselves"),
    "made twice": ([node("Relu", "x", "y"), node("Abs", "x", "y")], "y is made twice"),
    "made by nothing": ([node("Add", "x lost", "y")], "Add reads lost, which nothing makes"),
    "no output": ([node("Relu", "x", "z")], "its output y is made by nothing"),
    "in a body": ([node("If", "x", "y", then_branch=body("x"), else_branch=body("lost"))], "Relu reads lost"),
    "a ring through a body": (
        [node("If", "x", "y", then_branch=body("z"), else_branch=body("x")), node("Relu", "y", "z")],
        "wait for themselves",
    ),
}


@pytest.mark.parametrize(("nodes", "said"), BROKEN.values(), ids=BROKEN)
def test_a_graph_that_does_not_hang_together_is_refused_by_name(tmp_path: Path, nodes, said: str):
    file = saved(tmp_path / "net.onnx", nodes)
    for attempt in (lambda: check_model(file), lambda: mend(file, tmp_path / "out.onnx", Wish(fold=True))):
        with pytest.raises(ConversionRefused) as refused:
            attempt()
        assert refused.value.code == "graph-broken" and said in refused.value.message
    assert not (tmp_path / "out.onnx").exists()


def test_nodes_in_another_order_and_bodies_that_read_what_is_around_them_are_no_fault(tmp_path: Path):
    nodes = [
        node("If", "c", "y", then_branch=body("z"), else_branch=body("w")),
        node("Relu", "x", "z"),
        node("Cast", "x", "c", to=9),
    ]
    assert check_model(saved(tmp_path / "net.onnx", nodes)).warnings == []


def test_an_operator_that_onnx_does_not_have_is_told_and_not_brought_to_another_opset(tmp_path: Path):
    file = saved(tmp_path / "net.onnx", [node("Bogus", "x", "y")])
    assert "has no operator Bogus" in check_model(file).warnings[0]
    with pytest.raises(ConversionRefused) as refused:
        mend(file, tmp_path / "out.onnx", Wish(opset=11))
    assert refused.value.message.endswith("from opset 13 to 11: opset 13 of ONNX has no operator Bogus.")


def test_what_lies_in_the_place_of_the_weights_is_named(tmp_path: Path):
    nodes = [node("MatMul", "x w", "y")]
    file = saved(tmp_path / "net.onnx", nodes, save_as_external_data=True, location="net.bin", size_threshold=0)
    (tmp_path / "net.bin").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 256\n")
    with pytest.raises(ConversionRefused) as refused:
        check_model(file)
    assert refused.value.code == "lfs-pointer" and "net.bin" in refused.value.message
    model = onnx.load(str(file), load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        entry.value = "half" if entry.key == "offset" else entry.value
    file.write_bytes(model.SerializeToString())
    with pytest.raises(ConversionRefused) as refused:
        check_model(file)
    assert "does not tell where in net.bin w lies" in refused.value.message


def test_sizes_that_no_tensor_has_and_names_that_the_option_does_not_bear_are_refused():
    with pytest.raises(ConversionRefused, match="cannot be read at"):
        parse_input_shape("x:1,99999999999999999999")
    assert parse_input_shape("input:0:1,4") == {"input:0": (1, 4)}
    with pytest.raises(ConversionRefused, match="semicolon"):
        default_shape("net.onnx", [{"name": "x; y", "shape": [1, 4]}], None, None)
