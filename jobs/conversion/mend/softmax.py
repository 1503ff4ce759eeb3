"""Softmax and its kin across opset 13, where they came to mean another thing by their axis.

onnx's version converter says the old meaning in the new opset, but not for Hardmax and not where it knows no rank. It
has nothing the other way: it lets the axis stand, which is wrong for any but the last.
"""

from __future__ import annotations

import onnx
from onnx import helper

from jobs.conversion.checks.softmax import ONE_AXIS, axis_of, graphs_of, is_last, is_softmax, ranks_of
from jobs.conversion.errors import ConversionRefused


def said_by_last_axis(model: onnx.ModelProto, now: int, opset: int, name: str) -> None:
    """Has every such node work on the last axis alone, which means the same in any opset, in place, for a conversion
    from `now` to `opset`. Raises ConversionRefused (`opset-no-way`) where an axis can't be placed."""
    nodes = [node for graph in graphs_of(model.graph) for node in graph.node if is_softmax(node)]
    if (now < ONE_AXIS) == (opset < ONE_AXIS) or not nodes:
        return
    ranks = ranks_of(model)
    for graph in graphs_of(model.graph):
        made: list[onnx.NodeProto] = []
        for node in graph.node:
            made += _last(node, ranks.get(node.input[0]), now, opset, name) if is_softmax(node) else [node]
        kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in made]
        del graph.node[:]
        graph.node.extend(kept)


def _last(node: onnx.NodeProto, rank: int | None, now: int, opset: int, name: str) -> list[onnx.NodeProto]:
    axis, (values,), (output,) = axis_of(node, now), node.input, node.output
    if is_last(axis, rank) and (rank is not None or opset >= 11):
        # Before opset 11 no axis counts from the end.
        return [_alike(node, values, output, -1 if rank is None else rank - 1)]
    if now < ONE_AXIS:
        return [
            helper.make_node("Shape", [values], [f"{output}_shape"]),
            helper.make_node("Flatten", [values], [f"{output}_flat"], axis=axis),
            _alike(node, f"{output}_flat", f"{output}_rows", -1),
            helper.make_node("Reshape", [f"{output}_rows", f"{output}_shape"], [output]),
        ]
    if rank is None:
        raise ConversionRefused(
            "opset-no-way",
            f"{name} cannot be brought from opset {now} to {opset}: {node.op_type} of {output} works on axis {axis} of "
            "values whose number of axes is not known.",
            "Fix the shapes of the inputs, or export the model again with that opset.",
        )
    swapped = list(range(rank))
    swapped[axis], swapped[-1] = swapped[-1], swapped[axis]
    return [
        helper.make_node("Transpose", [values], [f"{output}_turned"], perm=swapped),
        _alike(node, f"{output}_turned", f"{output}_last", rank - 1),
        helper.make_node("Transpose", [f"{output}_last"], [output], perm=swapped),
    ]


def _alike(node: onnx.NodeProto, values: str, output: str, axis: int) -> onnx.NodeProto:
    return helper.make_node(node.op_type, [values], [output], name=node.name, axis=axis)
