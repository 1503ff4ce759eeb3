"""The graph with 4-bit weights in it.

Form `nbits`: MatMulNBits and GatherBlockQuantized of ONNX Runtime (domain com.microsoft, version 1, any opset) in the
place of MatMul and Gemm, and of an embedding's Gather. A table that is both, tied to the output, is stored once.
Form `dequantize`: blocked DequantizeLinear of opset 21 under the weight's own name, which is standard ONNX. That has no
Gather of 4-bit values: an embedding stays int8, for a few rows would cost the whole table in float.
What is neither, and bfloat16, becomes int8 as in int8-weight.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from jobs.quantization.blocks import Blocks, filled, fitting
from jobs.quantization.bodies import bodies_in
from jobs.quantization.choice import CONTRIB, FLOATS, STANDARD, Chosen, int_of, nodes_of
from jobs.quantization.rewrite import Planned, Rewriter

FORMS = ("nbits", "dequantize")
# What reads a matrix on its right, whose summed side can be cut into blocks.
PRODUCTS = ("MatMul", "Gemm", "FusedMatMul", "FusedGemm", "Attention")
BLOCKED_OPSET = 21


@dataclass
class FourBit(Rewriter):
    """Rewrites as `Rewriter` does, with 4 bits where `form` can have them.

    `multiplied` are, for each weight, the tensors that it is multiplied with from the right, one for each product; None
    for one that the main graph does not make as it runs.
    """

    block: int = 128
    zero_points: bool = False
    multiplied: dict[str, list[str | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        # Of the weights that a product reads, those that lookups read as rows.
        self._rows: dict[str, str] = {}

    def run(self) -> list[Planned]:
        stored = {tensor.name for tensor in self.model.graph.initializer}
        for name, source in self._products(self.model.graph, {}):
            self.multiplied.setdefault(name, []).append(None if source in stored else source)
        lookups = Counter(weight.name for node, _ in nodes_of(self.model.graph) if (weight := self._table(node)))
        # Nobody else could read what is stored.
        others = set(self._read_as_they_were(self.model.graph, {}))
        for weight in self.chosen.values():
            if self.form == "dequantize" or weight.name not in others:
                self._decide(weight, lookups[weight.name])
        made = super().run()
        if any(node.domain == CONTRIB for node, _ in nodes_of(self.model.graph)) and not any(
            one.domain == CONTRIB for one in self.model.opset_import
        ):
            self.model.opset_import.append(helper.make_opsetid(CONTRIB, 1))
        return made

    def _products(self, graph: onnx.GraphProto, outer: dict[str, str]) -> Iterator[tuple[str, str | None]]:
        """The weight's name for each product that could read it in 4 bits, and what the main graph multiplies it with;
        None in bodies."""
        flips = {**outer, **self._flips(graph)}
        for node in graph.node:
            if found := self._multiplied(node, flips):
                yield found[0].name, node.input[0]
            for body in bodies_in(node):
                yield from ((name, None) for name, _ in self._products(body, flips))

    def _read_as_they_were(self, graph: onnx.GraphProto, outer: dict[str, str]) -> Iterator[str]:
        """The weights that somebody reads who is no such product or lookup: an output of a graph among them."""
        mine = self._flips(graph)
        flips = {**outer, **mine}
        read = [value.name for value in graph.output]
        for node in graph.node:
            if node.output and node.output[0] in mine:
                continue
            taken = 1 if self._multiplied(node, flips) else 0 if self._table(node) else None
            read += [name for index, name in enumerate(node.input) if index != taken]
            for body in bodies_in(node):
                yield from self._read_as_they_were(body, flips)
        yield from (flips.get(name, name) for name in read)

    def _decide(self, weight: Chosen, lookups: int) -> None:
        if (
            weight.raised
            or len(weight.shape) != 2
            or weight.tensor.data_type not in (TensorProto.FLOAT, TensorProto.FLOAT16)
        ):
            return
        length = weight.shape[1 - weight.axis]
        if self.form == "nbits" and not lookups:
            # MatMulNBits takes a last block that is not full; lookups and DequantizeLinear of 4 bits want whole ones.
            size = filled(length, self.block, FLOATS[weight.tensor.data_type])
            weight.blocks = Blocks(size, self.zero_points, by_output=True)
            return
        whole = fitting(length, self.block)
        if whole is None or weight.shape[1] % 2:
            return
        if self.form == "nbits":
            weight.blocks = Blocks(whole, self.zero_points, by_output=True)
        elif all(use.operator in PRODUCTS for use in weight.uses):
            weight.blocks = Blocks(whole, self.zero_points, by_output=False, signed=not self.zero_points)

    def _product(self, node: onnx.NodeProto, flips: dict[str, str]) -> list[onnx.NodeProto]:
        found = self._multiplied(node, flips) if self.form == "nbits" else None
        if found is None or found[0].blocks is None:
            return []
        weight = found[0]
        blocks = found[0].blocks
        outputs, inputs = weight.shape[weight.axis], weight.shape[1 - weight.axis]
        bias = node.input[2] if node.op_type == "Gemm" and len(node.input) > 2 else ""
        out = self._fresh(f"{node.output[0]}_unbiased") if bias else node.output[0]
        product = self._node(
            "MatMulNBits", [node.input[0], *self._stored(weight, blocks)], out,
            K=inputs, N=outputs, bits=4, block_size=blocks.size, domain=CONTRIB,
        )  # fmt: skip
        return [product, self._node("Add", [out, bias], node.output[0])] if bias else [product]

    def _stored(self, weight: Chosen, blocks: Blocks) -> list[str]:
        """The names of its values, scales [outputs, blocks] and, if it has them, zeros.

        The values are [outputs, blocks, size / 2]; of what is only looked up [outputs, width / 2], the same bytes.
        """
        outputs, inputs = weight.shape[weight.axis], weight.shape[1 - weight.axis]
        count = blocks.count(inputs)
        row = (count, blocks.size // 2) if weight.name in self.multiplied else (inputs // 2,)
        names = [
            self._plan(weight, "quantized", (outputs, *row), TensorProto.UINT8, "values"),
            self._plan(weight, "scale", (outputs, count), weight.tensor.data_type, "scale"),
        ]
        if blocks.zero_points:
            names.append(self._plan(weight, "zeros", (outputs, -(-count // 2)), TensorProto.UINT8, "zeros"))
        return names

    def _table(self, node: onnx.NodeProto) -> Chosen | None:
        """The weight whose rows a Gather takes, where the form can look them up."""
        if self.form != "nbits" or node.op_type != "Gather" or node.domain not in STANDARD:
            return None
        weight = self.chosen.get(node.input[0])
        if weight is None or len(weight.shape) != 2 or weight.axis or int_of(node, "axis", 0) not in (0, -2):
            return None
        return weight

    def _gathered(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        weight = self._table(node)
        if weight is None or weight.blocks is None:
            return super()._gathered(node)
        values, *others = self._stored(weight, weight.blocks)
        return [
            self._node(
                "GatherBlockQuantized", [self._flat(weight, values), node.input[1], *others], node.output[0],
                bits=4, block_size=weight.blocks.size, gather_axis=0, quantize_axis=1, domain=CONTRIB,
            )
        ]  # fmt: skip

    def _flat(self, weight: Chosen, values: str) -> str:
        """A table's values as rows [entries, width / 2], which lookups take; products take them by block."""
        if weight.name not in self.multiplied:
            return values
        if weight.name not in self._rows:
            shape, rows = self._fresh(f"{weight.name}_rows_shape"), self._fresh(f"{weight.name}_rows")
            dims = np.array([weight.shape[0], weight.shape[1] // 2], dtype=np.int64)
            self._constants += [
                self._node("Constant", [], shape, value=numpy_helper.from_array(dims)),
                self._node("Reshape", [values, shape], rows),
            ]
            self._rows[weight.name] = rows
        return self._rows[weight.name]

    def _dequantized(self, weight: Chosen) -> list[onnx.NodeProto]:
        blocks = weight.blocks
        if blocks is None or self.form == "nbits":
            return super()._dequantized(weight) if blocks is None else []
        inner = 1 - weight.axis
        dims = tuple(size // blocks.size if axis == inner else size for axis, size in enumerate(weight.shape))
        kind = TensorProto.UINT4 if blocks.zero_points else TensorProto.INT4
        read = [
            self._plan(weight, "quantized", weight.shape, kind, "values"),
            self._plan(weight, "scale", dims, weight.tensor.data_type, "scale"),
        ]
        if blocks.zero_points:
            read.append(self._plan(weight, "zeros", dims, kind, "zeros"))
        return [self._node("DequantizeLinear", read, weight.name, axis=inner, block_size=blocks.size)]
