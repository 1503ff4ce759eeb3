"""The graph of int8-static: activations rounded to ranges that were calibrated, weights and products in integers.

Around each MatMul, Gemm and Conv of the main graph that has a quantized weight on its right stand QuantizeLinear and
DequantizeLinear, which a runtime takes together with it into an integer product. A Conv's result is rounded as well
(after the Relu or Clip that follows it), without which no runtime multiplies it in integers. Biases become int32 at
the product's own scale. Everything else is as in int8-weight, form plain. See docs/quantization.md for what saturates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from jobs.conversion.skeleton import extent_of
from jobs.quantization.bodies import bodies_of
from jobs.quantization.calibration.ranges import Range, refuse_method
from jobs.quantization.choice import STANDARD, Chosen, stored
from jobs.quantization.errors import QuantizationRefused
from jobs.quantization.kernel import TYPES, Floats, Result
from jobs.quantization.options import Options
from jobs.quantization.rewrite import LONGEST_SUM, MIDDLE, Planned, Rewriter

# DequantizeLinear has an axis from here on.
STATIC_OPSET = 13
FORMS = ("unsigned", "signed")
# Even a small convolution is worth its integers: what it costs is its picture, not its weight.
SMALLEST = 64
# A runtime fuses them with the rounding that follows.
ACTIVATIONS = ("Relu", "Clip")
# Give on values that they took, so that the same steps hold them exactly.
PASSING = ("MaxPool", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Slice", "Gather")
# With reduced range: products of a uint8 and two such weights fit 16 bits.
LARGEST_REDUCED = 63.0
# The bias of a channel takes at most half of an int32.
MOST_OF_BIAS = 2.0**30

Product = tuple[onnx.NodeProto, Chosen, bool]


def refuse_static(name: str, opset: int, options: Options) -> None:
    """Raises QuantizationRefused where int8-static cannot be: the opset, no samples, no such way to calibrate."""
    refuse_method(options.calibrate, options.percentile)
    if opset < STATIC_OPSET:
        raise QuantizationRefused(
            "opset-too-old",
            f"{name} is opset {opset}; DequantizeLinear has channels from opset {STATIC_OPSET} on.",
            "Take int8-dynamic or int8-weight, or go there: python -m jobs.conversion.mend --opset 13.",
        )
    if options.calibration is None:
        raise QuantizationRefused(
            "calibration-needed",
            "int8-static takes the ranges of the activations from samples, and none are given.",
            "Give real inputs (--calibration: .npz, .jsonl, .png or a folder of them), or take int8-dynamic.",
        )


@dataclass
class Static(Rewriter):
    """Rewrites as `Rewriter` does, with Q/DQ where `ranges` knows the tensors. `source` is where biases lie."""

    source: Path = Path()
    ranges: dict[str, Range] = field(default_factory=dict)
    reduce_range: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._depth = 0
        self._rounded: dict[str, str] = {}
        self._kernels: dict[tuple[str, bool], str] = {}
        graph = self.model.graph
        self._made_by = {name: node for node in graph.node for name in node.output if name}
        self._fed = {value.name for value in graph.input} - {tensor.name for tensor in graph.initializer}
        self._reads = Counter(name for one in (graph, *bodies_of(graph)) for node in one.node for name in node.input)
        self._reads.update(value.name for one in (graph, *bodies_of(graph)) for value in one.output)
        self._readers = {name: node for node in graph.node for name in node.input}
        self._floats = {name: tensor for tensor, name, _ in stored(graph) if tensor.data_type in TYPES}
        self._ends: set[str] = set()
        self._multiplied_names: set[str] = set()

    def wanted(self) -> list[str]:
        """The tensors of the main graph whose ranges it would use, each once, in the graph's order."""
        names: dict[str, None] = {}
        for node, _, _ in self._products():
            names |= dict.fromkeys([node.input[0], *([self._end(node)] if node.op_type == "Conv" else [])])
        return list(names)

    def run(self) -> list[Planned]:
        done = [found for found in self._products() if self._known(found[0])]
        self._multiplied_names = {node.output[0] for node, _, _ in done}
        self._ends = {self._end(node) for node, weight, _ in done if node.op_type == "Conv" and _plain(weight)}
        made = super().run()
        graph = self.model.graph
        read = {name for one in (graph, *bodies_of(graph)) for node in one.node for name in node.input}
        idle = self.replaced - read - {value.name for value in graph.output}
        for index in reversed(range(len(graph.initializer))):
            if graph.initializer[index].name in idle:
                del graph.initializer[index]
        return made

    def _products(self) -> Iterator[Product]:
        """Products that could be integers: their node, weight, and whether they read its Transpose's output."""
        flips = self._flips(self.model.graph)
        for node in self.model.graph.node:
            if found := self._integer(node, flips):
                yield (node, *found)

    def _integer(self, node: onnx.NodeProto, flips: dict[str, str]) -> tuple[Chosen, bool] | None:
        if node.op_type == "Conv" and node.domain in STANDARD:
            weight = self.chosen.get(node.input[1])
            if weight is None or weight.axis != 0:
                return None
            length = weight.elements // weight.channels
        elif (found := self._multiplied(node, flips)) is not None:
            weight = found[0]
            length = weight.shape[1 - weight.axis]
        else:
            return None
        activation = node.input[0]
        if weight.raised or length > LONGEST_SUM or not (activation in self._made_by or activation in self._fed):
            return None
        return weight, node.input[1] in flips

    def _known(self, node: onnx.NodeProto) -> bool:
        return node.input[0] in self.ranges and (node.op_type != "Conv" or self._end(node) in self.ranges)

    def _end(self, node: onnx.NodeProto) -> str:
        """Where a Conv's result is rounded: after an activation function that alone reads it."""
        out = node.output[0]
        reader = self._readers.get(out)
        if self._reads[out] == 1 and reader is not None and reader.op_type in ACTIVATIONS and reader.input[0] == out:
            return str(reader.output[0])
        return out

    def _rewritten(self, graph: onnx.GraphProto, outer: dict[str, str]) -> list[onnx.NodeProto]:
        self._depth += 1
        nodes = super()._rewritten(graph, outer)
        self._depth -= 1
        if self._depth:
            return nodes
        done: list[onnx.NodeProto] = []
        for node in nodes:
            done.append(node)
            name = node.output[0] if node.output else ""
            if name in self._ends:
                node.output[0] = self._fresh(f"{name}_float")
                done += self._round(node.output[0], name, self._range(name))
        return done

    def _product(self, node: onnx.NodeProto, flips: dict[str, str]) -> list[onnx.NodeProto]:
        if self._depth > 1 or not node.output or node.output[0] not in self._multiplied_names:
            return []
        found = self._integer(node, flips)
        assert found is not None
        weight, flipped = found
        self.integer_products += 1
        made = onnx.NodeProto.FromString(node.SerializeToString())
        nodes: list[onnx.NodeProto] = []
        made.input[0] = self._activation_of(node.input[0], weight, nodes)
        made.input[1] = self._kernel(weight, flipped)
        nodes.append(made)
        out, after = node.output[0], ""
        if bias := self._bias_of(node, weight):
            made.input[2:] = [bias]
        elif len(node.input) > 2 and node.input[2]:
            # No constant with a value for each channel: it is added as it is.
            if node.op_type == "Gemm":
                del made.input[2:]
                after = node.input[2]
            elif not _plain(weight):
                made.input[2] = self._fresh(f"{node.input[2]}_float")
                nodes.insert(-1, self._node("Cast", [node.input[2]], made.input[2], to=TensorProto.FLOAT))
        if not _plain(weight):
            made.output[0] = self._fresh(f"{out}_float")
            nodes += self._narrowed(made.output[0], self._fresh(f"{out}_unbiased") if after else out, weight)
        elif after:
            made.output[0] = self._fresh(f"{out}_unbiased")
        if after:
            nodes.append(self._node("Add", [nodes[-1].output[0], after], out))
        return nodes

    def _bias_of(self, node: onnx.NodeProto, weight: Chosen) -> str:
        """The product's bias as int32 behind DequantizeLinear, empty where there is none for its third input.

        ONNX Runtime makes a MatMul of two axes and the Add after it a Gemm, which it multiplies in integers only with
        such a bias: the Add gets one as well.
        """
        span = self._range(node.input[0])
        if node.op_type != "MatMul":
            return self._bias(node.input[2], weight, span) if len(node.input) > 2 else ""
        reader = self._readers.get(node.output[0])
        if reader is None or reader.op_type != "Add" or self._reads[node.output[0]] != 1:
            return ""
        if span.rank != 2 or not _plain(weight):
            return ""
        for index, name in enumerate(reader.input):
            if bias := self._bias(name, weight, span):
                reader.input[index] = bias
        return ""

    def _activation_of(self, name: str, weight: Chosen, nodes: list[onnx.NodeProto]) -> str:
        """The activation as float32, rounded to its range; made once, by its first reader."""
        if name in self._ends:
            return name
        if name not in self._rounded:
            source = name
            if not _plain(weight):
                source = self._fresh(f"{name}_float")
                nodes.append(self._node("Cast", [name], source, to=TensorProto.FLOAT))
            self._rounded[name] = self._fresh(f"{name}_rounded")
            nodes += self._round(source, self._rounded[name], self._range(name))
        return self._rounded[name]

    def _range(self, name: str) -> Range:
        """A tensor's range; that of the rounded one whose values it has, if there is one."""
        source = name
        while source not in self._ends and (node := self._made_by.get(source)) is not None:
            if node.op_type not in PASSING or node.domain not in STANDARD or node.output[0] != source:
                break
            source = node.input[0]
        return self.ranges[source if source in self._ends else name]

    def _round(self, source: str, out: str, span: Range) -> list[onnx.NodeProto]:
        scale = self._constant(f"{out}_scale", np.asarray(span.scale))
        zero = self._constant(f"{out}_zero", np.asarray(span.zero_point))
        values = self._fresh(f"{out}_uint8")
        return [
            self._node("QuantizeLinear", [source, scale, zero], values),
            self._node("DequantizeLinear", [values, scale, zero], out),
        ]

    def _kernel(self, weight: Chosen, flipped: bool) -> str:
        """The weight, or its transpose, as float32 behind DequantizeLinear."""
        key = (weight.name, flipped)
        if key not in self._kernels:
            if self.reduce_range:
                weight.largest = LARGEST_REDUCED
            values, axis, zero = self._values(weight), weight.axis, np.zeros(weight.channels, np.int8)
            if self.form == "unsigned":
                values, _ = self._unsigned(weight, flipped)
                zero = np.full(weight.channels, MIDDLE, np.uint8)
            elif flipped:
                turned = self._fresh(f"{weight.name}_turned")
                self._constants.append(self._node("Transpose", [values], turned, perm=[1, 0]))
                values = turned
            axis = 1 - axis if flipped else axis
            read = [values, self._scale(weight, (weight.channels,)), self._constant(f"{weight.name}_zeros", zero)]
            self._kernels[key] = self._fresh(f"{weight.name}_dequantized")
            self._constants.append(self._node("DequantizeLinear", read, self._kernels[key], axis=axis))
        return self._kernels[key]

    def _bias(self, name: str, weight: Chosen, span: Range) -> str:
        """The bias as int32 behind DequantizeLinear; empty unless it is a constant with a value for each channel."""
        tensor = self._floats.get(name)
        if tensor is None or max(tensor.dims, default=1) != weight.channels or np.prod(tensor.dims) != weight.channels:
            return ""
        values, step = self._values_of(tensor), span.scale
        if not np.isfinite(values).all():
            return ""
        # A channel of tiny weights gets wider steps, so that its bias fits an int32.
        least = (np.abs(values) * (weight.largest / (float(step) * MOST_OF_BIAS))).astype(np.float32)
        weight.least = least if weight.least is None else np.maximum(weight.least, least)
        integers, scale = self._fresh(f"{name}_int32"), self._fresh(f"{name}_int32_scale")
        dims = (weight.channels,)
        self.planned[integers] = Planned(integers, dims, TensorProto.INT32, weight, "bias", _integers(values, step))
        self.planned[scale] = Planned(scale, dims, TensorProto.FLOAT, weight, "bias", _products(step))
        self._constants.append(
            self._node("DequantizeLinear", [integers, scale], result := self._fresh(f"{name}_dequantized"), axis=0)
        )
        self.replaced.add(name)
        return result

    def _values_of(self, tensor: TensorProto) -> Floats:
        extent = extent_of(tensor, self.source)
        if extent is None:
            return numpy_helper.to_array(tensor).astype(np.float32).ravel()
        kind = TYPES[tensor.data_type]
        count = extent.length // kind.itemsize
        return np.fromfile(extent.path, kind, count, offset=extent.offset).astype(np.float32)

    def _constant(self, wanted: str, value: NDArray[np.generic]) -> str:
        name = self._fresh(wanted)
        self.model.graph.initializer.append(numpy_helper.from_array(value, name))
        return name


def _plain(weight: Chosen) -> bool:
    return bool(weight.tensor.data_type == TensorProto.FLOAT)


def _integers(values: Floats, step: np.float32) -> Callable[[Result], bytes]:
    """A bias at the scale of its product, once the weight's scales are known."""

    def made(result: Result) -> bytes:
        integers = np.rint(values.astype(np.float64) / (result.scales.astype(np.float64) * float(step)))
        return np.clip(integers, -(2**31) + 1, 2**31 - 1).astype("<i4").tobytes()

    return made


def _products(step: np.float32) -> Callable[[Result], bytes]:
    return lambda result: (result.scales * step).astype("<f4").tobytes()
