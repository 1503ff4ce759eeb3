"""DeepSeek-V2's mixture of experts: a router, the experts it chooses for each token, and those that all tokens have.

Every expert keeps three matrices of its own, each read by one MatMul, so that a quantizer finds them as it finds any
other. Which tokens they see, there are two forms of:

`routed`  tokens are sorted by expert and split: an expert sees its own tokens and no other, one without any sees an
          empty matrix. The products of a token are those of its experts.
`all`     every expert sees every token, and what it was not chosen for is multiplied with 0. All sizes follow from
          those of the input, which is what `atc` needs; the products are those of all experts.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from jobs.conversion.decoders.deepseek import Experts
from jobs.conversion.decoders.parts import Parts

FORMS = ("routed", "all")
# Keeps a sum of chances from being 0, as in the models' own code.
LEAST = 1e-20


class Mixture:
    """`form` is one of FORMS; `bias` is that of the shared experts, the routed ones have none."""

    def __init__(self, parts: Parts, shape: Experts, hidden: int, form: str, *, bias: bool) -> None:
        self.parts = parts
        self.graph = parts.graph
        self.shape = shape
        self.width = hidden
        self.form = form
        self.bias = bias

    def add(self, name: str, values: str) -> str:
        """[batch, sequence, hidden] -> the same."""
        parts, graph = self.parts, self.graph
        shares, picks = self._route(name, values)
        mixed = (self._routed if self.form == "routed" else self._all)(name, values, shares, picks)
        units = self.shape.shared * self.shape.intermediate
        shared = parts.gated(f"{name}.shared_experts", values, self.width, units, bias=self.bias)
        return graph.add("Add", [mixed, shared], f"{name}/output")

    def _route(self, name: str, values: str) -> tuple[str, str]:
        """Shares of each token's experts, and which these are, int64: [batch, sequence, chosen]. Always in float32."""
        graph, shape = self.graph, self.shape
        key, size = f"{name}.gate.weight", (self.width, shape.count)
        single = np.dtype(np.float32)
        blocks = self.parts.weights.blocks(key, size[::-1], single, transposed=True)
        # Three axes and a Reshape: a quantizer leaves it then. A rounded router sends tokens to other experts.
        stored = graph.streamed_weight(key, single, (1, *size), blocks)
        matrix = self.parts.reshape(stored, f"{name}/gate", *size)
        full = self.parts.cast(values, f"{name}/float", TensorProto.FLOAT)
        logits = graph.add("MatMul", [full, matrix], f"{name}/gate/logits")
        chances = graph.add("Softmax", [logits], f"{name}/gate/chances", axis=-1)
        if shape.groups > 1:
            chances = self._within_groups(name, chances)
        shares, picks = self._largest(chances, shape.chosen, f"{name}/gate/chosen")
        if shape.normal:
            total = graph.add("ReduceSum", [shares, self._whole(-1)], f"{name}/gate/sum", keepdims=1)
            total = graph.add("Add", [total, graph.constant(LEAST)], f"{name}/gate/total")
            shares = graph.add("Div", [shares, total], f"{name}/gate/normal")
        if shape.factor != 1:
            shares = graph.add("Mul", [shares, graph.constant(shape.factor)], f"{name}/gate/scaled")
        return shares, picks

    def _within_groups(self, name: str, chances: str) -> str:
        """0 for experts outside of the groups whose best expert is among the best."""
        graph, shape = self.graph, self.shape
        grouped = self.parts.reshape(chances, f"{name}/groups", 0, 0, shape.groups, shape.count // shape.groups)
        best = graph.add("ReduceMax", [grouped], f"{name}/groups/best", axes=[-1], keepdims=0)
        _, picks = self._largest(best, shape.chosen_groups, f"{name}/groups/chosen")
        inside = self._one_hot(f"{name}/groups", picks, shape.groups, TensorProto.FLOAT)
        inside = graph.add("ReduceMax", [inside], f"{name}/groups/inside", axes=[-2], keepdims=0)
        inside = graph.add("Unsqueeze", [inside, self._whole(-1)], f"{name}/groups/mask")
        kept = graph.add("Mul", [grouped, inside], f"{name}/groups/kept")
        return self.parts.reshape(kept, f"{name}/groups/chances", 0, 0, shape.count)

    def _routed(self, name: str, values: str, shares: str, picks: str) -> str:
        """Each expert on its own tokens."""
        graph, parts, shape = self.graph, self.parts, self.shape
        tokens = parts.reshape(values, f"{name}/tokens", -1, self.width)
        flat = parts.reshape(picks, f"{name}/flat", -1)
        length = graph.add("Shape", [flat], f"{name}/length")
        order = self._order(flat, length, f"{name}/order")
        back = self._order(order, length, f"{name}/back")
        sources = graph.add("Div", [order, graph.constant(shape.chosen, np.int64)], f"{name}/sources")
        sorted_tokens = graph.add("Gather", [tokens, sources], f"{name}/sorted", axis=0)
        given = self._one_hot(f"{name}/experts", flat, shape.count, TensorProto.INT64)
        given = graph.add("ReduceSum", [given, self._whole(0)], f"{name}/experts/given", keepdims=0)
        pieces = [f"{name}/experts/{index}/tokens" for index in range(shape.count)]
        graph.add_many("Split", [sorted_tokens, given], pieces, axis=0)
        answers = [self._expert(name, index, piece) for index, piece in enumerate(pieces)]
        joined = graph.add("Concat", answers, f"{name}/answers/sorted", axis=0)
        joined = graph.add("Gather", [joined, back], f"{name}/answers", axis=0)
        joined = parts.cast(joined, f"{name}/answers/float", TensorProto.FLOAT)
        rows = parts.reshape(joined, f"{name}/answers/rows", -1, shape.chosen, self.width)
        weights = parts.reshape(shares, f"{name}/shares", -1, 1, shape.chosen)
        summed = graph.add("MatMul", [weights, rows], f"{name}/sum/tokens")
        summed = graph.add("Reshape", [summed, graph.add("Shape", [values], f"{name}/shape")], f"{name}/sum")
        return parts.cast(summed, f"{name}/sum/narrow", parts.type)

    def _all(self, name: str, values: str, shares: str, picks: str) -> str:
        """Each expert on all tokens."""
        graph, shape = self.graph, self.shape
        places = self._one_hot(f"{name}/experts", picks, shape.count, TensorProto.FLOAT)
        column = graph.add("Unsqueeze", [shares, self._whole(-1)], f"{name}/shares/column")
        placed = graph.add("Mul", [places, column], f"{name}/shares/placed")
        placed = graph.add("ReduceSum", [placed, self._whole(-2)], f"{name}/shares", keepdims=0)
        placed = self.parts.cast(placed, f"{name}/shares/narrow", self.parts.type)
        columns = [f"{name}/experts/{index}/share" for index in range(shape.count)]
        graph.add_many("Split", [placed], columns, axis=-1)
        answers = [
            graph.add("Mul", [self._expert(name, index, values), share], f"{name}/experts/{index}/answer")
            for index, share in enumerate(columns)
        ]
        return graph.add("Sum", answers, f"{name}/sum")

    def _expert(self, name: str, index: int, tokens: str) -> str:
        return self.parts.gated(f"{name}.experts.{index}", tokens, self.width, self.shape.intermediate, bias=False)

    def _one_hot(self, name: str, picks: str, count: int, kind: int) -> str:
        """Numbers [...] -> [..., count] of type `kind`, 1 at each number and 0 elsewhere."""
        graph = self.graph
        column = graph.add("Unsqueeze", [picks, self._whole(-1)], f"{name}/column")
        same = graph.add("Equal", [column, graph.constant(np.arange(count), np.int64)], f"{name}/same")
        return graph.add("Cast", [same], f"{name}/places", to=kind)

    def _largest(self, values: str, count: int, name: str) -> tuple[str, str]:
        """The `count` largest of the last axis and their numbers."""
        outputs = [f"{name}/values", f"{name}/indices"]
        self.graph.add_many("TopK", [values, self._whole(count)], outputs, axis=-1, largest=1, sorted=1)
        return outputs[0], outputs[1]

    def _order(self, numbers: str, length: str, name: str) -> str:
        """Where the smallest of `numbers` stands, the next one, and so on; of a permutation that is its inverse."""
        outputs = [f"{name}/values", name]
        self.graph.add_many("TopK", [numbers, length], outputs, axis=0, largest=0, sorted=1)
        return name

    def _whole(self, *numbers: int) -> str:
        return self.graph.constant(list(numbers), np.int64)
