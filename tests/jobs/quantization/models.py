"""Small ONNX models to quantize, and what a model answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

SIZE = 96
FLOAT, HALF, BRAIN = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16
NUMPY = {FLOAT: np.float32, HALF: np.float16, BRAIN: ml_dtypes.bfloat16}


def weight(name: str, *shape: int, kind: int = FLOAT, seed: int = 1) -> TensorProto:
    values = np.random.default_rng(seed).standard_normal(shape) * 0.2
    array = values.astype(NUMPY[kind])
    return helper.make_tensor(name, kind, shape, array.tobytes(), raw=True)


def port(name: str, kind: int, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, list(shape))


def model(
    nodes: list[onnx.NodeProto],
    stored: list[TensorProto],
    inputs: list[onnx.ValueInfoProto] | None = None,
    *,
    out: onnx.ValueInfoProto | None = None,
    opset: int = 13,
    ir: int = 8,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes, "small", inputs or [port("x", FLOAT, "rows", SIZE)], [out or port("y", FLOAT, "rows", "width")], stored
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)


def matmul(kind: int = FLOAT, **settings: Any) -> onnx.ModelProto:
    return model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [weight("w", SIZE, 64, kind=kind)],
        [port("x", kind, "rows", SIZE)],
        out=port("y", kind, "rows", 64),
        **settings,
    )


def gemm(**attributes: Any) -> onnx.ModelProto:
    shape = (64, SIZE) if attributes.get("transB") else (SIZE, 64)
    return model(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"], **attributes)], [weight("w", *shape), weight("b", 64, seed=2)]
    )


def left_matmul() -> onnx.ModelProto:
    return model(
        [helper.make_node("MatMul", ["w", "x"], ["y"])], [weight("w", 64, SIZE)], [port("x", FLOAT, SIZE, "columns")]
    )


def batched_matmul() -> onnx.ModelProto:
    return model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [weight("w", 3, SIZE, 64)],
        [port("x", FLOAT, 3, "rows", SIZE)],
        out=port("y", FLOAT, 3, "rows", 64),
    )


def transposed() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Transpose", ["w"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "turned"], ["y"]),
    ]
    return model(nodes, [weight("w", 64, SIZE)])


def constant_node() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Constant", [], ["w"], value=weight("", SIZE, 64)),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    return model(nodes, [])


def shared() -> onnx.ModelProto:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "w"], ["y"]),
    ]
    return model(nodes, [weight("w", SIZE, SIZE)])


def recurrent(operator: str) -> onnx.ModelProto:
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[operator]
    node = helper.make_node(
        operator, ["x", "w", "r"], ["steps"], hidden_size=64, direction="bidirectional",
    )  # fmt: skip
    stored = [weight("w", 2, gates * 64, SIZE), weight("r", 2, gates * 64, 64, seed=2)]
    inputs = [port("x", FLOAT, "words", "rows", SIZE)]
    nodes = [node, helper.make_node("Identity", ["steps"], ["y"])]
    return model(nodes, stored, inputs, out=port("y", FLOAT, "words", 2, "rows", 64))


def left_batched_matmul() -> onnx.ModelProto:
    nodes = [helper.make_node("MatMul", ["w", "x"], ["y"])]
    inputs = [port("x", FLOAT, 3, SIZE, "columns")]
    return model(nodes, [weight("w", 3, 64, SIZE)], inputs, out=port("y", FLOAT, 3, 64, "columns"))


def convolution() -> onnx.ModelProto:
    return model(
        [helper.make_node("Conv", ["x", "w", "b"], ["y"], pads=[1, 1, 1, 1])],
        [weight("w", 32, 16, 3, 3), weight("b", 32, seed=2)],
        [port("x", FLOAT, "rows", 16, 12, 12)],
        out=port("y", FLOAT, "rows", 32, 12, 12),
    )


def embedding(kind: int = FLOAT, opset: int = 13) -> onnx.ModelProto:
    return model(
        [helper.make_node("Gather", ["w", "ids"], ["y"], axis=0)],
        [weight("w", 500, 32, kind=kind)],
        [port("ids", TensorProto.INT64, "rows", "words")],
        out=port("y", kind, "rows", "words", 32),
        opset=opset,
    )


def tied() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Gather", ["w", "ids"], ["rows"], axis=0),
        helper.make_node("Transpose", ["w"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["rows", "turned"], ["y"]),
    ]
    ids = [port("ids", TensorProto.INT64, "rows", "words")]
    return model(nodes, [weight("w", 500, 32)], ids, out=port("y", FLOAT, "rows", "words", 500))


def branches(*, own: bool) -> onnx.ModelProto:
    """An If whose bodies multiply by an outer weight, or each by one of its own under the same name."""

    def body(seed: int) -> onnx.GraphProto:
        stored = [weight("mine", SIZE, 64, seed=seed)] if own else []
        node = helper.make_node("MatMul", ["h", "mine" if own else "w"], [f"out{seed}"])
        return helper.make_graph([node], f"body{seed}", [], [port(f"out{seed}", FLOAT, "rows", 64)], stored)

    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["h"]),
        helper.make_node("ReduceSum", ["h"], ["total"], keepdims=0),
        helper.make_node("Greater", ["total", "zero"], ["positive"]),
        helper.make_node("If", ["positive"], ["y"], then_branch=body(3), else_branch=body(4)),
    ]
    stored = [weight("first", SIZE, SIZE), numpy_helper.from_array(np.float32(0), "zero")]
    return model(nodes, stored if own else [*stored, weight("w", SIZE, 64, seed=5)])


def loop() -> onnx.ModelProto:
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["state", "w"], ["grown"]),
            helper.make_node("Tanh", ["grown"], ["next"]),
            helper.make_node("Identity", ["go"], ["go_on"]),
        ],
        "body",
        [port("turn", TensorProto.INT64), port("go", TensorProto.BOOL), port("state", FLOAT, "rows", SIZE)],
        [port("go_on", TensorProto.BOOL), port("next", FLOAT, "rows", SIZE)],
    )
    nodes = [helper.make_node("Loop", ["turns", "", "x"], ["y"], body=body)]
    turns = numpy_helper.from_array(np.int64(2), "turns")
    return model(nodes, [turns, weight("w", SIZE, SIZE)], out=port("y", FLOAT, "rows", SIZE))


def loop_of_its_own() -> onnx.ModelProto:
    """A Loop whose body holds a matrix and, transposed, a second one; an If in it holds a third as a Constant."""

    def branch(name: str, seed: int) -> onnx.GraphProto:
        held = helper.make_node("Constant", [], ["mine"], value=weight("", SIZE, SIZE, seed=seed))
        nodes = [held, helper.make_node("MatMul", ["h", "mine"], [name])]
        return helper.make_graph(nodes, name, [], [port(name, FLOAT, "rows", SIZE)])

    nodes = [
        helper.make_node("Transpose", ["second"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["state", "first"], ["a"]),
        helper.make_node("MatMul", ["state", "turned"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["h"]),
        helper.make_node("If", ["go"], ["chosen"], then_branch=branch("yes", 6), else_branch=branch("no", 7)),
        helper.make_node("Identity", ["chosen"], ["next"]),
        helper.make_node("Identity", ["go"], ["go_on"]),
    ]
    body = helper.make_graph(
        nodes,
        "body",
        [port("turn", TensorProto.INT64), port("go", TensorProto.BOOL), port("state", FLOAT, "rows", SIZE)],
        [port("go_on", TensorProto.BOOL), port("next", FLOAT, "rows", SIZE)],
        [weight("first", SIZE, SIZE, seed=3), weight("second", SIZE, SIZE, seed=4)],
    )
    turns = numpy_helper.from_array(np.int64(2), "turns")
    loop = helper.make_node("Loop", ["turns", "", "x"], ["y"], body=body)
    return model([loop], [turns], out=port("y", FLOAT, "rows", SIZE))


def loop_that_hands_on() -> onnx.ModelProto:
    """A Loop that takes its matrix as state and gives it to the next turn as it is."""
    content = loop()
    [node] = content.graph.node
    node.input.append("w")
    node.output.append("unread")
    body = node.attribute[0].g
    body.node[0].input[1] = "kernel"
    body.input.append(port("kernel", FLOAT, SIZE, SIZE))
    body.output.append(port("kernel", FLOAT, SIZE, SIZE))
    return content


def save(content: onnx.ModelProto, path: Path) -> Path:
    onnx.save(content, path)
    return path


def feed_for(path: Path) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(9)
    session = onnxruntime.InferenceSession(str(path))
    feed = {}
    for item in session.get_inputs():
        shape = [size if isinstance(size, int) else 5 for size in item.shape]
        if item.type == "tensor(int64)":
            feed[item.name] = generator.integers(0, 500, shape)
        else:
            kind = np.float16 if item.type == "tensor(float16)" else np.float32
            feed[item.name] = generator.standard_normal(shape).astype(kind)
    return feed


def answer(path: Path, feed: dict[str, np.ndarray]) -> np.ndarray:
    return onnxruntime.InferenceSession(str(path)).run(None, feed)[0].astype(np.float64)
