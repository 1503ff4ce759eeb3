"""int64 constants as int32 where the operator that reads them takes either, by onnx's own schemas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from jobs.conversion.checks.constants import LARGEST, SMALLEST, values_of
from jobs.conversion.checks.inspection import opset_of
from jobs.conversion.mend.values import constants_as_initializers, drop_unused, loaded


def narrow(model: onnx.ModelProto, path: Path) -> int:
    """Gives such operators int32 constants, in place; how many constants became int32.

    The inputs of one type go together, so all of them must be constants; an output of that type keeps them int64, since
    it would change with them. A value that int32 does not hold keeps its constant as it is, but for the ends of a
    Slice: there the largest number means "to the end" in either type.
    """
    graph = model.graph
    constants_as_initializers(graph)
    inputs = {value.name for value in graph.input}
    constants: dict[str, NDArray[np.int64]] = {}
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.INT64 and tensor.name not in inputs:
            held = loaded(tensor, path)
            if held is not None:
                constants[tensor.name] = values_of(held, path.name)
    taken = {tensor.name for tensor in graph.initializer} | {name for node in graph.node for name in node.output}
    made: dict[str, str] = {}
    for node in graph.node:
        if node.domain not in ("", "ai.onnx"):
            continue
        for places in _either(node, opset_of(model)):
            names = [node.input[place] for place in places]
            if not all(name in constants for name in names):
                continue
            values = {name: _held(constants[name], node.op_type) for name in names}
            if any(value is None for value in values.values()):
                continue
            for place, name in zip(places, names, strict=True):
                if name not in made:
                    made[name] = _free(f"{name}_int32", taken)
                    graph.initializer.append(numpy_helper.from_array(np.asarray(values[name]), made[name]))
                node.input[place] = made[name]
    drop_unused(graph)
    return len(made)


def _either(node: onnx.NodeProto, opset: int) -> list[list[int]]:
    """Places of inputs that share a type which may be int64 or int32, and which no output has."""
    if not onnx.defs.has(node.op_type, max_inclusive_version=opset):
        return []
    schema = onnx.defs.get_schema(node.op_type, opset)
    either = {
        one.type_param_str
        for one in schema.type_constraints
        if {"tensor(int64)", "tensor(int32)"} <= set(one.allowed_type_strs)
    } - {output.type_str for output in schema.outputs}
    groups: dict[str, list[int]] = {}
    for place, name in enumerate(node.input):
        if name and place < len(schema.inputs) and schema.inputs[place].type_str in either:
            groups.setdefault(schema.inputs[place].type_str, []).append(place)
    return list(groups.values())


def _held(values: NDArray[np.int64], operator: str) -> NDArray[np.int32] | None:
    if operator == "Slice":
        return np.clip(values, SMALLEST, LARGEST).astype(np.int32)
    if values.size and (int(values.min()) < SMALLEST or int(values.max()) > LARGEST):
        return None
    return values.astype(np.int32)


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name
