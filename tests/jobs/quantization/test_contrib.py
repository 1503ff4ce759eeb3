"""Models that ONNX Runtime's optimizer has been over: their weights stand in operators of its own domain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from jobs.quantization import quantize
from jobs.quantization.options import Options
from tests.jobs.quantization.models import FLOAT, SIZE, answer, port, save, weight

CONTRIB = "com.microsoft"
TEXT = [port("x", FLOAT, 2, "length", SIZE)]
ROWS = [port("x", FLOAT, "rows", SIZE)]
IMAGE = [port("x", FLOAT, 1, 16, 8, 8)]
RANKS = {"Attention": "abc", "FusedMatMul": "ab", "FusedConv": "abcd", "EmbedLayerNormalization": "abc"}
IDS = [port("ids", TensorProto.INT32, 1, "length")]


def model(
    name: str, inputs: list[onnx.ValueInfoProto], reads: list[str], stored: list, **attributes
) -> onnx.ModelProto:
    node = helper.make_node(
        name, reads, ["y", "rest"][: 2 if name.startswith("Embed") else 1], domain=CONTRIB, **attributes
    )
    graph = helper.make_graph([node], "small", inputs, [port("y", FLOAT, *RANKS[name])], stored)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(CONTRIB, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def attention() -> onnx.ModelProto:
    stored = [weight("w", SIZE, 3 * SIZE), weight("b", 3 * SIZE, seed=2)]
    return model("Attention", TEXT, ["x", "w", "b"], stored, num_heads=4)


def product(**attributes: int) -> onnx.ModelProto:
    shape = (64, SIZE) if attributes.get("transB") else (SIZE, 64)
    return model("FusedMatMul", ROWS, ["x", "w"], [weight("w", *shape)], alpha=0.5, **attributes)


def convolution() -> onnx.ModelProto:
    stored = [weight("w", 32, 16, 3, 3), weight("b", 32, seed=2)]
    return model("FusedConv", IMAGE, ["x", "w", "b"], stored, activation="Relu", kernel_shape=[3, 3])


def embedding() -> onnx.ModelProto:
    stored = [
        weight("w", 300, SIZE), weight("place", 64, SIZE, seed=2),
        weight("gamma", SIZE, seed=3), weight("beta", SIZE, seed=4),
    ]  # fmt: skip
    return model("EmbedLayerNormalization", IDS, ["ids", "", "w", "place", "", "gamma", "beta"], stored)


MODELS = {
    "Attention": (attention, 1),
    "FusedMatMul": (product, 1),
    "FusedMatMul transB": (lambda: product(transB=1), 1),
    "FusedConv": (convolution, 1),
    "EmbedLayerNormalization": (embedding, 2),
}


def feed(name: str) -> dict[str, np.ndarray]:
    some = np.random.default_rng(7)
    if name.startswith("Embed"):
        return {"ids": some.integers(0, 300, (1, 9)).astype(np.int32)}
    shape = {"Attention": (2, 5, SIZE), "FusedConv": (1, 16, 8, 8)}.get(name, (6, SIZE))
    return {"x": some.standard_normal(shape).astype(np.float32)}


@pytest.mark.parametrize(
    ("scheme", "form", "most"),
    [("int8-weight", "plain", 0.02), ("int8-weight", "dequantize", 0.02), ("int8-dynamic", "plain", 0.04),
     ("int4", "nbits", 0.15), ("int4", "dequantize", 0.2)],
)  # fmt: skip
@pytest.mark.parametrize("name", MODELS)
def test_weights_in_operators_of_onnx_runtimes_own_are_quantized(tmp_path: Path, name, scheme, form, most):
    made, tensors = MODELS[name]
    source, out = save(made(), tmp_path / "in.onnx"), tmp_path / "out.onnx"
    report = quantize(source, out, scheme, Options(measure=False, form=form, block=32))
    assert report.tensors_quantized == tensors and report.weights_ratio > 3.5
    in_blocks = scheme == "int4" and form == "dequantize" and name in ("Attention", "FusedMatMul", "FusedMatMul transB")
    assert {layer.bits for layer in report.layers} == {4 if in_blocks else 8}
    wanted, got = answer(source, feed(name)), answer(out, feed(name))
    assert np.linalg.norm(wanted - got) / np.linalg.norm(wanted) < most
