"""Which weights of a model are quantized, along which axis, and why the others are left as they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from jobs.conversion.skeleton import Extent, extent_of
from jobs.quantization.errors import QuantizationRefused

# Smaller weights are not worth a node: 16 KiB in float32.
SMALLEST = 4096
# A scale is 4 bytes; with fewer values to a channel it costs more than half of what it saves.
FEWEST_PER_CHANNEL = 8
FLOATS: dict[int, int] = {TensorProto.FLOAT: 4, TensorProto.FLOAT16: 2, TensorProto.BFLOAT16: 2}
INTEGERS = {
    TensorProto.INT8, TensorProto.UINT8, TensorProto.INT4, TensorProto.UINT4,
    TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT8E5M2,
}  # fmt: skip
STANDARD = ("", "ai.onnx")
# The class that a weight is counted under when it is read in several ways, and whose axis it gets.
PRECEDENCE = ("MatMul", "Gemm", "Conv", "LSTM", "GRU", "RNN", "Gather")


@dataclass(frozen=True)
class Use:
    """One reading of a weight. `flipped` when the node reads its transpose; `inner` inside an If or Loop body."""

    operator: str
    axis: int | None
    inner: bool = False
    flipped: bool = False


@dataclass
class Weight:
    """A float tensor of the main graph. `extent` is None when the model carries its bytes itself."""

    tensor: TensorProto
    name: str
    shape: tuple[int, ...]
    extent: Extent | None
    constant: bool
    uses: list[Use] = field(default_factory=list)

    @property
    def elements(self) -> int:
        """How many values it holds."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def bytes(self) -> int:
        """How many bytes it takes."""
        return self.elements * FLOATS[self.tensor.data_type]


@dataclass
class Chosen(Weight):
    """A weight that is quantized: a scale for each index of `axis`, and of every axis before it.

    Along the last axis it is that axis alone: a channel is then a column.
    """

    axis: int = 0
    kind: str = ""

    @property
    def channels(self) -> int:
        """How many scales it gets."""
        return int(np.prod(self.scale_shape, dtype=np.int64))

    @property
    def by_rows(self) -> bool:
        """Whether a channel's values lie side by side in the file."""
        return self.axis < len(self.shape) - 1

    @property
    def scale_shape(self) -> tuple[int, ...]:
        """The scales' shape, which multiplies with the weight's as it is."""
        if not self.by_rows:
            return (self.shape[-1],)
        return (*self.shape[: self.axis + 1], *(1,) * (len(self.shape) - self.axis - 1))

    @property
    def one_axis(self) -> bool:
        """Whether one axis alone has the scales, which is what DequantizeLinear can say."""
        return self.axis == 0 or not self.by_rows


@dataclass(frozen=True)
class Left:
    """A tensor that stays as it is."""

    name: str
    bytes: int
    reason: str


def choose(
    model: onnx.ModelProto, path: Path, without: frozenset[str] = frozenset()
) -> tuple[list[Chosen], list[Left]]:
    """What is quantized and what is left. `without` names weights to leave: they hold NaN or infinity."""
    uses = readings(model.graph)
    outputs = {value.name for value in model.graph.output}
    chosen: list[Chosen] = []
    left: list[Left] = []
    for tensor, name, constant in stored(model.graph):
        if tensor.data_type in INTEGERS:
            left.append(Left(name, _bytes(tensor), "already quantized"))
        if tensor.data_type not in FLOATS:
            if tensor.data_type == TensorProto.DOUBLE:
                left.append(Left(name, _bytes(tensor), "float64"))
            continue
        extent = extent_of(tensor, path)
        weight = Weight(tensor, name, tuple(tensor.dims), extent, constant, uses.get(name, []))
        reason = "holds NaN or infinity" if name in without else _reason(weight, name in outputs)
        if reason:
            left.append(Left(name, weight.bytes, reason))
            continue
        if extent is not None and extent.length != weight.bytes:
            raise QuantizationRefused(
                "tensor-damaged",
                f"{name} in {path.name} has {extent.length} bytes and its shape {list(weight.shape)} needs "
                f"{weight.bytes}.",
                "Export the model again.",
            )
        first = min(weight.uses, key=lambda use: PRECEDENCE.index(use.operator))
        assert first.axis is not None
        chosen.append(
            Chosen(tensor, name, weight.shape, extent, constant, weight.uses, axis=first.axis, kind=first.operator)
        )
    return chosen, left + _inside_bodies(model.graph)


def stored(graph: onnx.GraphProto) -> Iterator[tuple[TensorProto, str, bool]]:
    """(tensor, the name it goes by, whether a Constant node holds it) for every tensor of the main graph."""
    for tensor in graph.initializer:
        yield tensor, tensor.name, False
    for node in graph.node:
        if node.op_type == "Constant" and node.domain in STANDARD and node.output:
            for attribute in node.attribute:
                if attribute.name == "value":
                    yield attribute.t, node.output[0], True


def readings(graph: onnx.GraphProto) -> dict[str, list[Use]]:
    """How each name is read, bodies of If and Loop included; Transpose, Identity and Cast are looked through."""
    ranks = {name: len(tensor.dims) for tensor, name, _ in stored(graph)}
    nodes: dict[str, list[tuple[onnx.NodeProto, int, bool]]] = defaultdict(list)
    for node, inner in nodes_of(graph):
        for index, name in enumerate(node.input):
            nodes[name].append((node, index, inner))

    def follow(name: str, rank: int, axes: tuple[int, ...], depth: int = 0) -> Iterator[Use]:
        # axes[i] is the weight's own axis that is seen as axis i here.
        for node, index, inner in nodes.get(name, []):
            if depth < 4 and index == 0 and node.domain in STANDARD:
                if node.op_type in ("Identity", "Cast"):
                    yield from follow(node.output[0], rank, axes, depth + 1)
                    continue
                if node.op_type == "Transpose":
                    order = ints_of(node, "perm") or list(reversed(range(rank)))
                    if len(order) == rank:
                        yield from follow(node.output[0], rank, tuple(axes[axis] for axis in order), depth + 1)
                        continue
            axis = _channel_axis(node, index, rank)
            flipped = axes != tuple(range(rank))
            yield Use(node.op_type, None if axis is None else axes[axis], inner, flipped)

    return {name: list(follow(name, rank, tuple(range(rank)))) for name, rank in ranks.items()}


def nodes_of(graph: onnx.GraphProto, inner: bool = False) -> Iterator[tuple[onnx.NodeProto, bool]]:
    """Every node, and whether it stands inside another node's body."""
    for node in graph.node:
        yield node, inner
        for attribute in node.attribute:
            for body in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from nodes_of(body, True)


def _channel_axis(node: onnx.NodeProto, index: int, rank: int) -> int | None:
    """The axis whose indices each get a scale when a node reads a weight; None when the node is not covered."""
    if node.domain not in STANDARD:
        return None
    if node.op_type == "MatMul" and rank >= 2:
        return rank - 1 if index == 1 else rank - 2
    if node.op_type in ("LSTM", "GRU", "RNN") and rank == 3 and index in (1, 2):
        return 1
    if node.op_type == "Gemm" and rank == 2 and index < 2:
        turned = int_of(node, "transB" if index else "transA", 0)
        return index ^ 1 if turned else index
    if node.op_type == "Conv" and index == 1 and rank >= 3:
        return 0
    if node.op_type == "Gather" and index == 0 and rank == 2 and int_of(node, "axis", 0) in (0, -rank):
        return 0
    return None


def int_of(node: onnx.NodeProto, name: str, default: int) -> int:
    """A node's integer attribute."""
    return next((attribute.i for attribute in node.attribute if attribute.name == name), default)


def ints_of(node: onnx.NodeProto, name: str) -> list[int]:
    """A node's list of integers; empty when it has none."""
    return next((list(attribute.ints) for attribute in node.attribute if attribute.name == name), [])


def _reason(weight: Weight, is_output: bool) -> str | None:
    """Why this weight is left, None when it is quantized."""
    strange = sorted({use.operator for use in weight.uses if use.axis is None})
    if len(weight.shape) < 2:
        return "bias, norm or scalar"
    if weight.elements < SMALLEST:
        return "small"
    if is_output:
        return "is an output of the model"
    if not weight.uses:
        return "is read by nothing"
    if strange:
        return f"read by {', '.join(strange)}"
    first = min(weight.uses, key=lambda use: PRECEDENCE.index(use.operator))
    assert first.axis is not None
    rest = weight.shape[:-1] if first.axis == len(weight.shape) - 1 else weight.shape[first.axis + 1 :]
    if np.prod(rest, dtype=np.int64) < FEWEST_PER_CHANNEL:
        return "too few values for each scale"
    return None


def _bytes(tensor: TensorProto) -> int:
    bits: dict[int, int] = {TensorProto.INT4: 4, TensorProto.UINT4: 4, TensorProto.DOUBLE: 64}
    return int(np.prod(tuple(tensor.dims), dtype=np.int64)) * bits.get(tensor.data_type, 8) // 8


def _inside_bodies(graph: onnx.GraphProto) -> list[Left]:
    found: list[Left] = []

    def look(body: onnx.GraphProto) -> None:
        for tensor, name, _ in stored(body):
            if tensor.data_type in FLOATS and np.prod(tuple(tensor.dims), dtype=np.int64) >= SMALLEST:
                size = int(np.prod(tuple(tensor.dims), dtype=np.int64)) * FLOATS[tensor.data_type]
                found.append(Left(name, size, "inside the body of an If or Loop"))
        for inner in bodies_of(body):
            look(inner)

    for body in bodies_of(graph):
        look(body)
    return found


def bodies_of(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graphs that stand inside a graph's nodes, one level down."""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield attribute.g
            yield from attribute.graphs
