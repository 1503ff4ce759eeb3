"""Softmax, LogSoftmax and Hardmax: one axis since opset 13, and before it that axis and all after it as one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import onnx
from onnx import shape_inference

KINDS = ("Softmax", "LogSoftmax", "Hardmax")
# The opset that has them over one axis.
ONE_AXIS = 13


def graphs_of(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph and the bodies in it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from graphs_of(inner)


def is_softmax(node: onnx.NodeProto) -> bool:
    """Whether it is one of KINDS."""
    return node.op_type in KINDS and node.domain in ("", "ai.onnx")


def axis_of(node: onnx.NodeProto, opset: int) -> int:
    """The axis of such a node, as it is given or left out in that opset; negative from the last one on."""
    return next((one.i for one in node.attribute if one.name == "axis"), -1 if opset >= ONE_AXIS else 1)


def is_last(axis: int, rank: int | None) -> bool:
    """Whether an axis is the last one, as far as is known."""
    return axis == -1 or (rank is not None and axis == rank - 1)


def ranks_of(model: onnx.ModelProto) -> dict[str, int]:
    """How many axes each value has, where that can be inferred."""
    # Its C++ side raises several types; what the model itself says is still there.
    with suppress(Exception):
        model = shape_inference.infer_shapes(model, data_prop=True)
    return {
        value.name: len(value.type.tensor_type.shape.dim)
        for graph in graphs_of(model.graph)
        for value in (*graph.input, *graph.value_info, *graph.output)
        if value.type.tensor_type.HasField("shape")
    } | {tensor.name: len(tensor.dims) for graph in graphs_of(model.graph) for tensor in graph.initializer}


def over_several_axes(model: onnx.ModelProto, opset: int) -> list[str]:
    """The names of such nodes that take several axes as one. None from opset 13 on."""
    nodes = [node for graph in graphs_of(model.graph) for node in graph.node if is_softmax(node)]
    if opset >= ONE_AXIS or not nodes:
        return []
    ranks = ranks_of(model)
    return [
        node.name or node.output[0] for node in nodes if not is_last(axis_of(node, opset), ranks.get(node.input[0]))
    ]
