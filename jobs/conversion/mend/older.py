"""What onnx's version converter has no rule down for, said in operators that were there before.

Before the conversion: HardSwish (new in 14) as HardSigmoid and Mul, and Dropout, which 13 gave inputs, as nothing where
it drops nothing. After it: Resize, whose region of interest could not be left out before 13.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from jobs.conversion.checks.softmax import graphs_of

STANDARD = ("", "ai.onnx")


def reworded(model: onnx.ModelProto, now: int, opset: int) -> None:
    """Rewrites nodes of the graph and of the bodies in it, in place, for a conversion from `now` down to `opset`."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for graph in graphs_of(model.graph):
        constants |= {
            node.output[0]: attribute.t
            for node in graph.node
            if node.op_type == "Constant"
            for attribute in node.attribute
            if attribute.name == "value"
        }
    for graph in graphs_of(model.graph):
        nodes: list[onnx.NodeProto] = []
        for node in graph.node:
            if node.domain in STANDARD and node.op_type == "HardSwish" and opset < 14 <= now:
                nodes += _hard_swish(node)
            elif node.domain in STANDARD and node.op_type == "Dropout" and opset < 13 <= now and _idle(node, constants):
                nodes.append(helper.make_node("Identity", [node.input[0]], [node.output[0]], name=node.name))
            else:
                nodes.append(node)
        kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(kept)


def filled_in(model: onnx.ModelProto, opset: int) -> None:
    """Gives every Resize of opset 11 or 12 the inputs that it must have, in place: a region or scale that is left out
    is an empty tensor there."""
    if opset not in (11, 12):
        return
    empty = ""
    for graph in graphs_of(model.graph):
        for node in graph.node:
            if node.op_type != "Resize" or node.domain not in STANDARD:
                continue
            for place in (1, 2):
                if len(node.input) > place and not node.input[place]:
                    empty = empty or _empty(model.graph)
                    node.input[place] = empty


def _empty(graph: onnx.GraphProto) -> str:
    taken = {tensor.name for tensor in graph.initializer} | {name for node in graph.node for name in node.output}
    name = "no_region"
    while name in taken:
        name += "_"
    graph.initializer.append(numpy_helper.from_array(np.zeros(0, np.float32), name))
    return name


def _hard_swish(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """x * max(0, min(1, x / 6 + 0.5)), as the standard has it."""
    gate = f"{node.output[0]}_gate"
    return [
        helper.make_node("HardSigmoid", [node.input[0]], [gate], name=f"{node.name}_gate", alpha=1 / 6, beta=0.5),
        helper.make_node("Mul", [node.input[0], gate], [node.output[0]], name=node.name),
    ]


def _idle(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> bool:
    """Whether a Dropout lets everything through: it is not told to train, and nothing reads its mask."""
    if len(node.output) > 1 and node.output[1]:
        return False
    if len(node.input) < 3 or not node.input[2]:
        return True
    told = constants.get(node.input[2])
    return told is not None and not numpy_helper.to_array(told).any()
