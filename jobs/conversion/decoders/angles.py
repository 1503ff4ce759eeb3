"""Cosine and sine of the tokens' positions: rows of a table, or computed where they depend on how much is read.

A table wherever it can be: a product of position and frequency does not survive float16, which is `atc`'s default, and
a cosine does.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from jobs.conversion.decoders.parts import Parts
from jobs.conversion.decoders.rope import Rope

FUNCTIONS = {"cosine": np.cos, "sine": np.sin}


def add_angles(parts: Parts, rope: Rope, positions: int) -> tuple[str, str]:
    """Cosine and sine of `position_ids` [batch, sequence], each [batch, 1, sequence, size / 2]."""
    if rope.kind == "dynamic" and positions > rope.positions:
        return _stretching(parts, rope)
    graph = parts.graph
    angles = []
    shape = (1, positions, rope.size // 2)
    for name, function in FUNCTIONS.items():
        # Three axes: a matrix that Gather reads is an embedding to a quantizer, and an angle bears no eight bits.
        blocks = (block.astype(parts.precision) for block in rope.table(function, positions))
        stored = parts.stored(f"rotary.{name}", shape, blocks)
        rows = graph.add("Gather", [stored, "position_ids"], f"rotary/{name}/rows", axis=1)
        angles.append(graph.add("Transpose", [rows], f"rotary/{name}", perm=[1, 0, 2, 3]))
    return angles[0], angles[1]


def _stretching(parts: Parts, rope: Rope) -> tuple[str, str]:
    """Dynamic NTK: the further the last position lies beyond the trained context, the slower all turn but the first.

    theta is multiplied by (factor * length / trained - (factor - 1)) ^ (size / (size - 2)), length being the highest
    position given, plus one, and the trained context at least. What the cache holds stays as it was turned.
    """
    graph = parts.graph
    units = np.arange(rope.size // 2)
    last = graph.add("ReduceMax", ["position_ids"], "rotary/last", keepdims=0)
    length = graph.add("Cast", [last], "rotary/last/float", to=TensorProto.FLOAT)
    length = graph.add("Add", [length, graph.constant(1.0)], "rotary/length")
    length = graph.add("Max", [length, graph.constant(float(rope.positions))], "rotary/length/counted")
    stretch = graph.add("Mul", [length, graph.constant(rope.factor / rope.positions)], "rotary/stretch/scaled")
    stretch = graph.add("Sub", [stretch, graph.constant(rope.factor - 1)], "rotary/stretch")
    slower = graph.add("Pow", [stretch, graph.constant(-2 * units / (rope.size - 2))], "rotary/slower")
    frequencies = graph.add("Mul", [graph.constant(rope.frequencies()), slower], "rotary/frequencies")
    axes = graph.constant([1, 3], np.int64)
    column = graph.add("Unsqueeze", ["position_ids", axes], "rotary/column")
    column = graph.add("Cast", [column], "rotary/column/float", to=TensorProto.FLOAT)
    turns = graph.add("Mul", [column, frequencies], "rotary/turns")
    cosine, sine = (
        parts.cast(graph.add(operator, [turns], f"rotary/{name}/float"), f"rotary/{name}", parts.type)
        for operator, name in zip(("Cos", "Sin"), FUNCTIONS, strict=True)
    )
    return cosine, sine
