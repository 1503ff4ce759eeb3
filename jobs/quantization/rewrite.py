"""The graph with quantized weights in it. The weights' bytes come later: here they are only named and given shapes.

int8-weight makes the weight float again where the model starts, under the weight's old name, so that whoever reads the
weight goes on reading it, bodies of If and Loop included. The form is `plain`, Cast and Mul, which `atc` reads and
ONNX Runtime folds; or `dequantize`, DequantizeLinear, which says what is meant and which `atc` has no parser for.
int8-dynamic multiplies in integers where it can, with activations quantized at run time, and is int8-weight for the
rest. An embedding table is gathered as int8 and scaled row by row in both:
otherwise a runtime would make the whole table float before it takes a few rows. See docs/decisions/0004.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from jobs.quantization.bodies import bodies_in, bodies_of, replace
from jobs.quantization.choice import STANDARD, Chosen, int_of, ints_of, nodes_of
from jobs.quantization.kernel import Result

# The uint8 that stands for 0.
MIDDLE = 128
SCHEMES = ("int8-weight", "int8-dynamic", "int8-static", "int4")
FORMS = ("plain", "dequantize")
BITS: dict[int, int] = {
    TensorProto.INT8: 8, TensorProto.UINT8: 8, TensorProto.INT4: 4, TensorProto.UINT4: 4,
    TensorProto.FLOAT: 32, TensorProto.FLOAT16: 16, TensorProto.INT32: 32,
}  # fmt: skip
# 255 x 127 summed this often still fits int32.
LONGEST_SUM = 66_000
# What a result says of itself, in the model's metadata.
METADATA = "quantization"
# Before it DequantizeLinear has no axis.
AXIS_OPSET = 13


@dataclass
class Planned:
    """A tensor that is still to be written: of a weight its `values`, its `scale` or its `zeros`, shaped `dims`.

    `made` gives the bytes of what follows from the weight's scales: the `bias` of its product.
    """

    name: str
    dims: tuple[int, ...]
    data_type: int
    weight: Chosen
    role: str
    made: Callable[[Result], bytes] | None = None

    @property
    def bytes(self) -> int:
        return -(-math.prod(self.dims) * BITS[self.data_type] // 8)


@dataclass
class Rewriter:
    """Rewrites one model's graph, bodies included, in place; `planned` is what it now refers to."""

    model: onnx.ModelProto
    chosen: dict[str, Chosen]
    scheme: str
    opset: int
    form: str = "plain"
    planned: dict[str, Planned] = field(default_factory=dict)
    integer_products: int = 0

    def __post_init__(self) -> None:
        graph = self.model.graph
        self._taken: set[str] = set()
        for one in (graph, *bodies_of(graph)):
            self._taken.update(value.name for value in (*one.initializer, *one.input))
        for node, _ in nodes_of(graph):
            self._taken.update((*node.input, *node.output))
        self._labels: set[str] = {node.name for node, _ in nodes_of(graph)}
        self._activations: dict[str, tuple[str, str, str]] = {}
        self._shifted: dict[tuple[str, bool], str] = {}
        self._middle = self._shift = ""
        # Nodes that any body may read the outputs of.
        self._constants: list[onnx.NodeProto] = []
        self._names: dict[tuple[str, str], str] = {}
        # What stands in the model in another form, beside the chosen weights.
        self.replaced: set[str] = set()

    def run(self) -> list[Planned]:
        """Rewrites, and gives what is to be written, each weight's values once."""
        graph = self.model.graph
        body = self._rewritten(graph, {})
        needed = {name for node in body for name in _names_read(node)}
        front = [part for name, weight in self.chosen.items() if name in needed for part in self._dequantized(weight)]
        kept = [tensor for tensor in graph.initializer if tensor.name not in self.chosen]
        inputs = [value for value in graph.input if value.name not in self.chosen]
        replace(graph.node, self._constants + front + body)
        replace(graph.initializer, kept)
        replace(graph.input, inputs)
        # Before IR 4 every initializer had to be an input as well; the new ones are not.
        self.model.ir_version = max(self.model.ir_version, 4)
        # Each key may stand there once: what was quantized in part may be quantized again.
        told = [entry for entry in self.model.metadata_props if entry.key == METADATA]
        for entry in told or [self.model.metadata_props.add(key=METADATA)]:
            entry.value = self.scheme
        return list(self.planned.values())

    def _rewritten(self, graph: onnx.GraphProto, outer: dict[str, str]) -> list[onnx.NodeProto]:
        """The nodes of a graph; those of the bodies in it are replaced in place."""
        mine = self._flips(graph)
        flips, outside = {**outer, **mine}, self._activations
        # What a body makes of an activation is known in that body and in those inside it.
        self._activations = dict(outside)
        nodes: list[onnx.NodeProto] = []
        for node in graph.node:
            if node.op_type == "Constant" and node.output and node.output[0] in self.chosen:
                continue
            for body in bodies_in(node):
                replace(body.node, self._rewritten(body, flips))
            nodes.extend(self._gathered(node) or self._product(node, flips) or [node])
        self._activations = outside
        return _without_idle(nodes, set(mine), {value.name for value in graph.output})

    def _flips(self, graph: onnx.GraphProto) -> dict[str, str]:
        """Outputs of Transpose that are a chosen weight's transpose, and that weight."""
        return {
            node.output[0]: node.input[0]
            for node in graph.node
            if node.op_type == "Transpose"
            and node.domain in STANDARD
            and node.input[0] in self.chosen
            and len(self.chosen[node.input[0]].shape) == 2
            and (ints_of(node, "perm") or [1, 0]) == [1, 0]
        }

    def _gathered(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        weight = self.chosen.get(node.input[0]) if node.op_type == "Gather" and node.domain in STANDARD else None
        if weight is None or len(weight.shape) != 2 or weight.axis != 0 or int_of(node, "axis", 0) not in (0, -2):
            return []
        column = self._scale(weight, (weight.channels, 1))
        rows, factors = self._fresh(f"{node.output[0]}_rows"), self._fresh(f"{node.output[0]}_factors")
        wide, out = self._fresh(f"{node.output[0]}_wide"), node.output[0]
        result = out if weight.tensor.data_type == TensorProto.FLOAT else self._fresh(f"{out}_float")
        nodes = [
            self._node("Gather", [self._values(weight), node.input[1]], rows, axis=0),
            self._node("Gather", [column, node.input[1]], factors, axis=0),
            self._node("Cast", [rows], wide, to=TensorProto.FLOAT),
            self._node("Mul", [wide, factors], result),
        ]
        return nodes + self._narrowed(result, out, weight)

    def _product(self, node: onnx.NodeProto, flips: dict[str, str]) -> list[onnx.NodeProto]:
        found = self._multiplied(node, flips) if self.scheme == "int8-dynamic" else None
        if found is None or found[0].raised or found[0].shape[1 - found[0].axis] > LONGEST_SUM:
            return []
        weight, turned = found
        gemm = node.op_type == "Gemm"
        self.integer_products += 1
        nodes: list[onnx.NodeProto] = []
        values, middle = self._unsigned(weight, turned)
        quantized, scale, zero = self._activation(node.input[0], weight, nodes)
        out = node.output[0]
        total, floats = self._fresh(f"{out}_integers"), self._fresh(f"{out}_unscaled")
        factors = self._fresh(f"{out}_factors")
        bias = node.input[2] if gemm and len(node.input) > 2 else ""
        narrow = weight.tensor.data_type != TensorProto.FLOAT
        scaled = self._fresh(f"{out}_scaled") if narrow or bias else out
        nodes += [
            self._node("MatMulInteger", [quantized, values, zero, middle], total),
            self._node("Cast", [total], floats, to=TensorProto.FLOAT),
            self._node("Mul", [scale, self._scale(weight, (weight.channels,))], factors),
            self._node("Mul", [floats, factors], scaled),
        ]
        before_bias = self._fresh(f"{out}_unbiased") if narrow and bias else out
        nodes += self._narrowed(scaled, before_bias, weight)
        if bias:
            nodes.append(self._node("Add", [before_bias if narrow else scaled, bias], out))
        return nodes

    def _multiplied(self, node: onnx.NodeProto, flips: dict[str, str]) -> tuple[Chosen, bool] | None:
        """The weight that a MatMul or a Gemm without factors has on its right, and whether it reads its transpose."""
        if node.domain not in STANDARD or node.op_type not in ("MatMul", "Gemm"):
            return None
        gemm = node.op_type == "Gemm"
        plain = {"alpha": 1.0, "beta": 1.0}
        if gemm and (int_of(node, "transA", 0) or any(a.f != plain[a.name] for a in node.attribute if a.name in plain)):
            return None
        name = node.input[1]
        weight = self.chosen.get(flips.get(name, name))
        turned = (name in flips) != (gemm and bool(int_of(node, "transB", 0)))
        if weight is None or len(weight.shape) != 2 or weight.axis != (0 if turned else 1):
            return None
        return weight, turned

    def _activation(self, name: str, weight: Chosen, nodes: list[onnx.NodeProto]) -> tuple[str, str, str]:
        """An activation as uint8 with scale and zero point; made once, by its first reader."""
        if name not in self._activations:
            made = tuple(self._fresh(f"{name}_{part}") for part in ("quantized", "scale", "zero"))
            source = name
            if weight.tensor.data_type != TensorProto.FLOAT:
                source = self._fresh(f"{name}_float")
                nodes.append(self._node("Cast", [name], source, to=TensorProto.FLOAT))
            label = self._label(f"{name}_DynamicQuantizeLinear")
            nodes.append(helper.make_node("DynamicQuantizeLinear", [source], list(made), name=label))
            self._activations[name] = (made[0], made[1], made[2])
        return self._activations[name]

    def _unsigned(self, weight: Chosen, turned: bool) -> tuple[str, str]:
        """The weight's values (their transpose, if `turned`) as uint8, and the zero point that goes with them.

        x86 processors without VNNI add the products of a uint8 and an int8 two by two in 16 bits, which overflow;
        products of two uint8 are exact everywhere. A runtime computes these constants once, when it loads the model.
        """
        if not self._middle:
            self._middle, self._shift = self._fresh("middle_of_uint8"), self._fresh("shift_to_uint8")
            for name, value in ((self._middle, np.uint8(MIDDLE)), (self._shift, np.float32(MIDDLE))):
                self._constants.append(
                    self._node("Constant", [], name, value=numpy_helper.from_array(np.asarray(value)))
                )
        key = (weight.name, turned)
        if key not in self._shifted:
            source = self._values(weight)
            if turned:
                source, values = self._fresh(f"{weight.name}_turned"), source
                self._constants.append(self._node("Transpose", [values], source, perm=[1, 0]))
            wide, moved, narrow = (self._fresh(f"{source}_{part}") for part in ("wide", "moved", "unsigned"))
            self._constants += [
                self._node("Cast", [source], wide, to=TensorProto.FLOAT),
                self._node("Add", [wide, self._shift], moved),
                self._node("Cast", [moved], narrow, to=TensorProto.UINT8),
            ]
            self._shifted[key] = narrow
        return self._shifted[key], self._middle

    def _dequantized(self, weight: Chosen) -> list[onnx.NodeProto]:
        """The weight under its own name, from its int8 values."""
        result = weight.name
        if weight.tensor.data_type != TensorProto.FLOAT:
            result = self._fresh(f"{weight.name}_float")
        values = self._values(weight)
        if self.form == "dequantize" and self.opset >= AXIS_OPSET and weight.one_axis:
            scale = self._scale(weight, (weight.channels,))
            nodes = [self._node("DequantizeLinear", [values, scale], result, axis=weight.axis)]
        else:
            scale, wide = self._scale(weight, weight.scale_shape), self._fresh(f"{weight.name}_wide")
            nodes = [
                self._node("Cast", [values], wide, to=TensorProto.FLOAT),
                self._node("Mul", [wide, scale], result),
            ]
        return nodes + self._narrowed(result, weight.name, weight)

    def _narrowed(self, source: str, out: str, weight: Chosen) -> list[onnx.NodeProto]:
        """A Cast to the weight's own type, where that is not float32."""
        if weight.tensor.data_type == TensorProto.FLOAT:
            return []
        return [self._node("Cast", [source], out, to=weight.tensor.data_type)]

    def _values(self, weight: Chosen) -> str:
        return self._plan(weight, "quantized", weight.shape, TensorProto.INT8, "values")

    def _scale(self, weight: Chosen, dims: tuple[int, ...]) -> str:
        suffix = "scale" if len(dims) == 1 else "scale_" + "x".join(map(str, dims))
        return self._plan(weight, suffix, dims, TensorProto.FLOAT, "scale")

    def _plan(self, weight: Chosen, suffix: str, dims: tuple[int, ...], data_type: int, role: str) -> str:
        key = (weight.name, suffix)
        if key not in self._names:
            name = self._names[key] = self._fresh(f"{weight.name}_{suffix}")
            self.planned[name] = Planned(name, dims, data_type, weight, role)
        return self._names[key]

    def _node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> onnx.NodeProto:
        return helper.make_node(operator, inputs, [output], name=self._label(f"{output}_{operator}"), **attributes)

    def _fresh(self, wanted: str) -> str:
        return _unused(wanted, self._taken)

    def _label(self, wanted: str) -> str:
        return _unused(wanted, self._labels)


def _unused(wanted: str, taken: set[str]) -> str:
    name, count = wanted, 1
    while name in taken:
        count += 1
        name = f"{wanted}_{count}"
    taken.add(name)
    return name


def _without_idle(nodes: list[onnx.NodeProto], idle: set[str], outputs: set[str]) -> list[onnx.NodeProto]:
    """Drops Transpose nodes that nothing reads any more."""
    read = {name for node in nodes for name in _names_read(node)} | outputs
    return [node for node in nodes if not (node.output and node.output[0] in idle and node.output[0] not in read)]


def _names_read(node: onnx.NodeProto) -> Iterable[str]:
    """Every name that a node reads, in its bodies as well; a body's outputs may be outer names."""
    yield from node.input
    for body in bodies_in(node):
        for inner in body.node:
            yield from _names_read(inner)
        yield from (value.name for value in body.output)
