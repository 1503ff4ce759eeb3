"""Constant folding: nodes that compute the same whatever the inputs are become their results.

The values come from ONNX Runtime, all in one run of just those nodes: it is what the result is tried in afterwards, and
it computes every operator, which onnx's reference evaluator does slowly or not at all. Its own optimizer is not used:
the model that it saves imports domains of its own, which `atc` refuses (E16005), and depends on the processor.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from jobs.conversion.checks.inspection import opset_of
from jobs.conversion.errors import ConversionRefused
from jobs.conversion.mend.values import (
    WORKED_WITH,
    constants_as_initializers,
    dims_of,
    drop_unused,
    inferred,
    loaded,
    used_in,
    value_infos,
)

# Not the same twice, or folded to the opposite of what it is for: a folded DequantizeLinear is float weights again.
NEVER = {
    "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli", "Dropout",
    "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear",
}  # fmt: skip
# Their result can be far larger than what goes in.
GROWING = {"ConstantOfShape", "Expand", "Tile", "Range", "Resize", "EyeLike", "OneHot", "Pad", "ScatterND"}


def fold(model: onnx.ModelProto, path: Path) -> int:
    """Folds what is constant in the main graph, in place; how many nodes went. ``path``: where its weights lie.

    Raises ConversionRefused: `fold-failed`, `shapes-contradict`.
    """
    graph = model.graph
    before = len(graph.node)
    constants_as_initializers(graph)
    shapes = {value.name: dims_of(value) for value in value_infos(inferred(model).graph)}
    inputs = {value.name for value in graph.input}
    known = {
        tensor.name: held
        for tensor in graph.initializer
        if tensor.name not in inputs and (held := loaded(tensor, path)) is not None
    }
    outputs = {value.name for value in graph.output}
    computable: set[str] = set(known)
    folded: list[onnx.NodeProto] = []
    measured: list[TensorProto] = []
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        if outputs.isdisjoint(node.output):
            shape = shapes.get(node.input[0]) if node.op_type == "Shape" and len(node.input) == 1 else None
            if shape is not None and all(isinstance(size, int) for size in shape):
                measured.append(_shape(node, [size for size in shape if isinstance(size, int)]))
                computable.add(node.output[0])
                continue
            if _foldable(node, computable, shapes):
                folded.append(node)
                computable.update(node.output)
                continue
        kept.append(node)
    wanted = sorted(used_in(kept) & {name for node in folded for name in node.output})
    results = _computed(folded, [*known.values(), *measured], wanted, opset_of(model), model.ir_version)
    del graph.node[:]
    graph.node.extend(kept)
    graph.initializer.extend([*measured, *results])
    drop_unused(graph)
    return before - len(kept)


def _foldable(node: onnx.NodeProto, computable: set[str], shapes: dict[str, list[int | str | None] | None]) -> bool:
    if node.op_type in NEVER or node.domain not in ("", "ai.onnx"):
        return False
    if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
        return False
    if any(name and name not in computable for name in node.input):
        return False
    for name in node.output:
        shape = shapes.get(name)
        if shape is None or not all(isinstance(size, int) for size in shape):
            if node.op_type in GROWING:
                return False
        elif 8 * math.prod(size for size in shape if isinstance(size, int)) > WORKED_WITH:
            return False
    return True


def _shape(node: onnx.NodeProto, sizes: list[int]) -> TensorProto:
    given = {attribute.name: attribute.i for attribute in node.attribute}
    part = sizes[given.get("start", 0) : given.get("end", len(sizes))]
    return numpy_helper.from_array(np.array(part, dtype=np.int64), node.output[0])


def _computed(
    nodes: list[onnx.NodeProto], constants: list[TensorProto], wanted: list[str], opset: int, ir_version: int
) -> list[TensorProto]:
    if not wanted:
        return []
    used = used_in(nodes)
    graph = helper.make_graph(
        nodes,
        "constants",
        [],
        [helper.make_empty_tensor_value_info(name) for name in wanted],
        [tensor for tensor in constants if tensor.name in used],
    )
    part = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(part.SerializeToString(), options, providers=["CPUExecutionProvider"])
        values = session.run(wanted, {})
    except Exception as error:  # onnxruntime raises types of its own, which it does not export
        raise ConversionRefused(
            "fold-failed",
            f"The constant part of the model cannot be computed: {' '.join(str(error).split())[:200]}.",
            "Mend it without folding, or export the model again.",
        ) from error
    return [numpy_helper.from_array(np.asarray(value), name) for name, value in zip(wanted, values, strict=True)]
