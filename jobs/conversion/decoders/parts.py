"""What every layer of a decoder is made of, as nodes: matrices, norms, turned halves, gated units.

Operators are those of opset 13 and no newer, see `bert.py`. What float16 does not bear (norms, softmax) is done in
float32 in a float16 model too, as the models were trained.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from jobs.conversion.decoders.shards import Shards
from jobs.conversion.graph import Graph

# The end of a Slice that goes as far as there is anything.
END = np.iinfo(np.int64).max


class Parts:
    """Adds parts to `graph`, streaming each weight out of `weights` in `precision` (float32 or float16)."""

    def __init__(self, graph: Graph, weights: Shards, precision: np.dtype[Any]) -> None:
        self.graph = graph
        self.weights = weights
        self.precision = precision
        self.type = helper.np_dtype_to_tensor_dtype(precision)

    def vector(self, name: str, size: int, rows: NDArray[np.int64] | None = None) -> str:
        """A bias or a norm's scale."""
        return self._weight(name, (size,), self.weights.blocks(name, (size,), self.precision, rows=rows))

    def table(self, name: str, shape: tuple[int, int]) -> str:
        """A matrix as it is stored: an embedding, a head."""
        return self._weight(name, shape, self.weights.blocks(name, shape, self.precision))

    def linear(
        self,
        name: str,
        values: str,
        inputs: int,
        outputs: int,
        *,
        bias: bool,
        rows: NDArray[np.int64] | None = None,
    ) -> str:
        """[..., inputs] -> [..., outputs]; `rows` orders the outputs anew. Stored is [outputs, inputs]."""
        key, stored = f"{name}.weight", (outputs, inputs)
        blocks = self.weights.blocks(key, stored, self.precision, transposed=True, rows=rows)
        matrix = self._weight(key, (inputs, outputs), blocks)
        product = self.graph.add("MatMul", [values, matrix], f"{name}/matmul")
        if not bias:
            return product
        return self.graph.add("Add", [product, self.vector(f"{name}.bias", outputs, rows)], f"{name}/output")

    def norm(self, name: str, values: str, size: int, epsilon: float) -> str:
        """Root mean square norm over the last axis: x / sqrt(mean(x²) + epsilon) * weight."""
        graph = self.graph
        full = self.cast(values, f"{name}/float", TensorProto.FLOAT)
        squared = graph.add("Mul", [full, full], f"{name}/squared")
        mean = graph.add("ReduceMean", [squared], f"{name}/mean", axes=[-1], keepdims=1)
        shifted = graph.add("Add", [mean, graph.constant(epsilon)], f"{name}/shifted")
        root = graph.add("Sqrt", [shifted], f"{name}/root")
        normal = graph.add("Div", [full, root], f"{name}/normal")
        normal = self.cast(normal, f"{name}/narrow", self.type)
        return graph.add("Mul", [normal, self.vector(f"{name}.weight", size)], f"{name}/output")

    def turn(self, name: str, values: str, angles: tuple[str, str], size: int) -> str:
        """Rotary positions: [..., size] whose halves are the pairs, by `angles` = cosine, sine of [..., size / 2]."""
        graph = self.graph
        left = self.slice(values, f"{name}/left", 0, size // 2)
        right = self.slice(values, f"{name}/right", size // 2, size)
        cosine, sine = angles
        kept = graph.add("Mul", [left, cosine], f"{name}/left/cosine")
        gone = graph.add("Mul", [right, sine], f"{name}/right/sine")
        first = graph.add("Sub", [kept, gone], f"{name}/first")
        kept = graph.add("Mul", [right, cosine], f"{name}/right/cosine")
        come = graph.add("Mul", [left, sine], f"{name}/left/sine")
        second = graph.add("Add", [kept, come], f"{name}/second")
        return graph.add("Concat", [first, second], f"{name}/turned", axis=-1)

    def gated(self, name: str, values: str, hidden: int, intermediate: int, *, bias: bool) -> str:
        """down(silu(gate(x)) * up(x)), where silu(x) = x * sigmoid(x)."""
        graph = self.graph
        gate = self.linear(f"{name}.gate_proj", values, hidden, intermediate, bias=bias)
        share = graph.add("Sigmoid", [gate], f"{name}/sigmoid")
        open_gate = graph.add("Mul", [gate, share], f"{name}/silu")
        up = self.linear(f"{name}.up_proj", values, hidden, intermediate, bias=bias)
        product = graph.add("Mul", [open_gate, up], f"{name}/product")
        return self.linear(f"{name}.down_proj", product, intermediate, hidden, bias=bias)

    def chances(self, name: str, scores: str, bias: str) -> str:
        """Softmax over the last axis of scores and a float32 bias that hides what must not be seen."""
        full = self.cast(scores, f"{name}/float", TensorProto.FLOAT)
        masked = self.graph.add("Add", [full, bias], f"{name}/masked")
        chances = self.graph.add("Softmax", [masked], f"{name}/softmax", axis=-1)
        return self.cast(chances, f"{name}/chances", self.type)

    def heads(self, values: str, name: str, heads: int, size: int) -> str:
        """[batch, sequence, heads * size] -> [batch, heads, sequence, size]."""
        split = self.graph.add("Reshape", [values, self._shape(0, 0, heads, size)], f"{name}/split")
        return self.graph.add("Transpose", [split], f"{name}/heads", perm=[0, 2, 1, 3])

    def merged(self, values: str, name: str, width: int) -> str:
        """[batch, heads, sequence, size] -> [batch, sequence, width]."""
        rows = self.graph.add("Transpose", [values], f"{name}/rows", perm=[0, 2, 1, 3])
        return self.graph.add("Reshape", [rows, self._shape(0, 0, width)], f"{name}/merged")

    def reshape(self, values: str, output: str, *shape: int) -> str:
        """0 keeps a size, -1 is what is left."""
        return self.graph.add("Reshape", [values, self._shape(*shape)], output)

    def slice(self, values: str, output: str, start: int, end: int) -> str:
        """Units `start` to `end` of the last axis."""
        begin, stop, axis = (self.graph.constant([value], np.int64) for value in (start, end, -1))
        return self.graph.add("Slice", [values, begin, stop, axis], output)

    def scale(self, values: str, output: str, factor: float) -> str:
        """Times a constant."""
        return self.graph.add("Mul", [values, self.graph.constant(factor, self.precision)], output)

    def cast(self, values: str, output: str, wanted: int) -> str:
        """The values in another type; nothing is added in a float32 model."""
        if self.type == TensorProto.FLOAT:
            return values
        return self.graph.add("Cast", [values], output, to=wanted)

    def stored(self, name: str, shape: tuple[int, ...], blocks: Iterable[NDArray[Any]]) -> str:
        """A weight of the model's precision under a name and in a shape of its own."""
        return self._weight(name, shape, blocks)

    def _shape(self, *sizes: int) -> str:
        return self.graph.constant(list(sizes), np.int64)

    def _weight(self, name: str, shape: tuple[int, ...], blocks: Iterable[NDArray[Any]]) -> str:
        return self.graph.streamed_weight(name, self.precision, shape, blocks)
