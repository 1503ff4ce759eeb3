"""What an ONNX model is, read from its graph without its weights."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto

from jobs.conversion.skeleton import nodes_of, read_skeleton, tensors_of


@dataclass(frozen=True)
class Port:
    """An input or output; a dimension is a number, a name where it is free, or None where nothing is known."""

    name: str
    type: str
    shape: list[int | str | None]

    @property
    def free(self) -> bool:
        """Whether a dimension is left open."""
        return any(not isinstance(size, int) for size in self.shape)


@dataclass(frozen=True)
class Inspection:
    """What an ONNX model is. `operators` counts nodes by domain and type, those in bodies of If, Loop and Scan and in
    the model's own functions among them; `domains` are those with an opset."""

    name: str
    bytes: int
    opset: int
    ir_version: int
    producer: str
    inputs: list[Port]
    outputs: list[Port]
    operators: dict[str, int]
    domains: list[str]
    external_data: list[str]


def inspect(path: Path) -> Inspection:
    """Reads the model's graph, not its weights. Raises what `read_skeleton` does."""
    return inspected(read_skeleton(path), path)


def inspected(model: onnx.ModelProto, path: Path) -> Inspection:
    """The same of a skeleton that was read from ``path``."""
    graph = model.graph
    stored = {tensor.name for tensor in graph.initializer}
    beside = {
        entry.value
        for tensor in tensors_of(model)
        for entry in tensor.external_data
        if entry.key == "location" and entry.value != path.name
    }
    return Inspection(
        name=path.name,
        bytes=path.stat().st_size + sum((path.parent / name).stat().st_size for name in beside),
        opset=opset_of(model),
        ir_version=model.ir_version,
        producer=f"{model.producer_name} {model.producer_version}".strip(),
        inputs=[_port(value) for value in graph.input if value.name not in stored],
        outputs=[_port(value) for value in graph.output],
        operators=dict(sorted(Counter(f"{one.domain or 'ai.onnx'}::{one.op_type}" for one in nodes_of(model)).items())),
        domains=sorted({entry.domain or "ai.onnx" for entry in model.opset_import}),
        external_data=sorted(beside),
    )


def opset_of(model: onnx.ModelProto) -> int:
    """The opset of ONNX's own domain; 1 where the model names none, as the standard has it."""
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1)


def _port(value: onnx.ValueInfoProto) -> Port:
    tensor = value.type.tensor_type
    sizes: list[int | str | None] = [
        size.dim_value if size.HasField("dim_value") else size.dim_param or None for size in tensor.shape.dim
    ]
    return Port(value.name, type_name(tensor.elem_type), sizes)


def type_name(number: int) -> str:
    """The name of an element type: ``float``, ``int64``; ``type 50`` for a number that ONNX does not have."""
    known = number in TensorProto.DataType.values()
    return TensorProto.DataType.Name(number).lower() if known else f"type {number}"
