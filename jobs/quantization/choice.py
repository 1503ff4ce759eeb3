"""Which weights of a model are quantized, along which axis, and why the others are left as they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from jobs.conversion.skeleton import Extent, extent_of
from jobs.quantization.bodies import bodies_in, bodies_of, constant_of, lift, unthread
from jobs.quantization.errors import QuantizationRefused
from jobs.quantization.precision import NONE, Precision, Raised

if TYPE_CHECKING:
    from jobs.quantization.blocks import Blocks

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
PRECEDENCE = (
    "MatMul", "Gemm", "FusedMatMul", "FusedGemm", "Attention", "Conv", "FusedConv", "LSTM", "GRU", "RNN", "Gather",
    "EmbedLayerNormalization",
)  # fmt: skip
# Operators of ONNX Runtime's own domain that hold weights as an input: what its graph optimizer makes of a transformer.
CONTRIB = "com.microsoft"
# Which of their inputs, and the axis of its channels.
CONTRIB_AXES = {
    "Attention": {1: 1},
    "FusedConv": {1: 0},
    "EmbedLayerNormalization": {2: 0, 3: 0, 4: 0},
}


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
    # Set for a weight that becomes 4 bit.
    blocks: Blocks | None = None
    # A budget keeps it at 8 bits and float activations, whatever the scheme has.
    raised: bool = False
    # Symmetric: -128 is not used, so that a weight and its opposite are equally exact.
    largest: float = 127.0
    # For each channel the magnitude that `largest` stands for at least; None where the values alone decide.
    least: NDArray[np.float32] | None = None

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
    model: onnx.ModelProto,
    path: Path,
    without: frozenset[str] = frozenset(),
    raised: Raised = NONE,
    smallest: int = SMALLEST,
) -> tuple[list[Chosen], list[Left]]:
    """What is quantized and what is left. `without` names weights to leave: they hold NaN or infinity.

    Weights in the bodies of If, Loop and Scan that can be quantized are moved to the main graph. `raised` names those
    that a budget keeps above the scheme. Weights of fewer than `smallest` values are left.
    """

    def good(body: onnx.GraphProto) -> set[str]:
        uses = readings(body)
        floats = [(tensor, name) for tensor, name, _ in stored(body) if tensor.data_type in FLOATS]
        return {
            name for tensor, name in floats if not _reason(_weight(tensor, name, path, False, uses), False, smallest)
        }

    unthread(model.graph, {name for tensor, name, _ in stored(model.graph) if len(tensor.dims) > 1})
    lift(model.graph, good)
    chosen: list[Chosen] = []
    left: list[Left] = []
    for depth, graph in enumerate((model.graph, *bodies_of(model.graph))):
        uses = readings(graph)
        outputs = {value.name for value in graph.output}
        for tensor, name, constant in stored(graph):
            if tensor.data_type in INTEGERS:
                left.append(Left(name, _bytes(tensor), "already quantized"))
            if tensor.data_type not in FLOATS:
                if tensor.data_type == TensorProto.DOUBLE:
                    left.append(Left(name, _bytes(tensor), "float64"))
                continue
            weight = _weight(tensor, name, path, constant, uses)
            reason = "holds NaN or infinity" if name in without else _reason(weight, name in outputs, smallest)
            if not reason and depth:
                reason = "is given to or by the body of an If or Loop"
            if not reason and raised.get(name) is Precision.FLOAT:
                reason = "kept for the accuracy budget"
            if reason:
                left.append(Left(name, weight.bytes, reason))
                continue
            extent = weight.extent
            if extent is not None and extent.length != weight.bytes:
                raise QuantizationRefused(
                    "tensor-damaged",
                    f"{name} in {path.name} has {extent.length} bytes and its shape {list(weight.shape)} needs "
                    f"{weight.bytes}.",
                    "Export the model again.",
                )
            first = min(weight.uses, key=lambda use: PRECEDENCE.index(use.operator))
            assert first.axis is not None
            one = Chosen(
                tensor, name, weight.shape, extent, constant, weight.uses, axis=first.axis, kind=first.operator
            )
            one.raised = name in raised
            chosen.append(one)
    return chosen, left


def _weight(tensor: TensorProto, name: str, path: Path, constant: bool, uses: dict[str, list[Use]]) -> Weight:
    return Weight(tensor, name, tuple(tensor.dims), extent_of(tensor, path), constant, uses.get(name, []))


def stored(graph: onnx.GraphProto) -> Iterator[tuple[TensorProto, str, bool]]:
    """(tensor, the name it goes by, whether a Constant node holds it) for every tensor of a graph itself."""
    for tensor in graph.initializer:
        yield tensor, tensor.name, False
    for node in graph.node:
        if (held := constant_of(node)) is not None:
            yield held, node.output[0], True


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
        for body in bodies_in(node):
            yield from nodes_of(body, True)


def _channel_axis(node: onnx.NodeProto, index: int, rank: int) -> int | None:
    """The axis whose indices each get a scale when a node reads a weight; None when the node is not covered."""
    if node.domain == CONTRIB:
        return _contrib_axis(node, index, rank)
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


def _contrib_axis(node: onnx.NodeProto, index: int, rank: int) -> int | None:
    if node.op_type in ("FusedMatMul", "FusedGemm") and rank == 2 and index < 2:
        return index ^ 1 if int_of(node, "transB" if index else "transA", 0) else index
    return CONTRIB_AXES.get(node.op_type, {}).get(index)


def int_of(node: onnx.NodeProto, name: str, default: int) -> int:
    """A node's integer attribute."""
    return next((attribute.i for attribute in node.attribute if attribute.name == name), default)


def ints_of(node: onnx.NodeProto, name: str) -> list[int]:
    """A node's list of integers; empty when it has none."""
    return next((list(attribute.ints) for attribute in node.attribute if attribute.name == name), [])


def _reason(weight: Weight, is_output: bool, smallest: int) -> str | None:
    """Why this weight is left, None when it is quantized."""
    strange = sorted({use.operator for use in weight.uses if use.axis is None})
    if len(weight.shape) < 2:
        return "bias, norm or scalar"
    if weight.elements < smallest:
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
