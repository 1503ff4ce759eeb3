"""What a model is tried on: samples that somebody gave (`calibration.reading`), or made-up inputs when nobody did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from jobs.conversion.checks import Port
from jobs.quantization.choice import int_of, nodes_of, stored

Feed = dict[str, NDArray[Any]]
MOST_ROWS = 1000
GENERATED_ROWS = 16
SEED = 7
KINDS = {
    "float": np.float32, "float16": np.float16, "double": np.float64,
    "int64": np.int64, "int32": np.int32, "uint8": np.uint8,
}  # fmt: skip


@dataclass(frozen=True)
class Fill:
    """What open sizes are filled with: the length of a sequence, height and width of a picture."""

    length: int
    sides: tuple[int, int]


# Tokens and a photograph; a signal and a line of text; a signal and a page.
FILLS = (Fill(32, (224, 224)), Fill(512, (48, 320)), Fill(1536, (640, 640)))
# What exporters call a decoder's keys and values of earlier tokens.
CACHE = "past_key_values"
SAME_VALUES = ("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Flatten")


@dataclass(frozen=True)
class Samples:
    """Feeds of one row each. `labels` are the right answers, one a row, where the file gives them for every row.

    `pictures` says how pictures became numbers, where there are any. `generated`: nobody gave them.
    """

    origin: str
    feeds: Sequence[Feed]
    labels: list[int] | None = None
    pictures: str | None = None
    generated: bool = False


def made_up(model: onnx.ModelProto, inputs: list[Port], fill: Fill = FILLS[0]) -> Samples:
    """Random inputs of plausible shape, the same each time: word numbers within their table, masks of ones."""
    generator = np.random.default_rng(SEED)
    tables = _tables(model)
    feeds: list[Feed] = []
    for _ in range(GENERATED_ROWS):
        feed: Feed = {}
        for port in inputs:
            shape = _sizes(port, inputs, fill)
            kind = KINDS.get(port.type, np.bool_ if port.type == "bool" else np.float32)
            if port.name in tables:
                feed[port.name] = generator.integers(0, tables[port.name], shape).astype(kind)
            elif np.issubdtype(kind, np.floating):
                feed[port.name] = generator.standard_normal(shape).astype(kind)
            elif len(shape) == 1 and "length" in port.name.lower():
                feed[port.name] = np.full(shape, fill.length, kind)
            else:
                feed[port.name] = np.ones(shape, kind)
        feeds.append(feed)
    return Samples(f"{GENERATED_ROWS} generated inputs: random, not real data", feeds, generated=True)


def _tables(model: onnx.ModelProto) -> dict[str, int]:
    """Inputs that are looked up in a table, as they are or in another type or shape, and the table's number of rows."""
    sizes = {name: tuple(tensor.dims) for tensor, name, _ in stored(model.graph) if tensor.dims}
    before = {node.output[0]: node.input[0] for node, _ in nodes_of(model.graph) if node.op_type in SAME_VALUES}
    found: dict[str, int] = {}
    for node, _ in nodes_of(model.graph):
        if node.op_type == "Gather" and node.input[0] in sizes:
            name, met = node.input[1], set()
            # Bodies beside each other may use the same names the other way round.
            while name in before and name not in met:
                met.add(name)
                name = before[name]
            rows = sizes[node.input[0]][int_of(node, "axis", 0)]
            found[name] = min(rows, found.get(name, rows))
    return found


def _sizes(port: Port, inputs: list[Port], fill: Fill) -> list[int]:
    """A shape with every open size filled in: one row, and lengths or sides that models of that rank take."""
    rows = {other.shape[0] for other in inputs if other.shape and isinstance(other.shape[0], str)}
    sizes = []
    for axis, size in enumerate(port.shape):
        if isinstance(size, int) and size > 0:
            sizes.append(size)
        elif axis == 0 or size in rows or _is_state(port.shape):
            sizes.append(1)
        elif port.name.startswith(CACHE):
            # Nothing has been read before: the mask is then as long as what is read now.
            sizes.append(0)
        elif len(port.shape) == 4:
            sizes.append((3, *fill.sides)[axis - 1])
        else:
            sizes.append(fill.length)
    return sizes


def _is_state(shape: list[int | str | None]) -> bool:
    """Whether it is that of what a recurrent layer remembers: layers, rows, width."""
    fixed = [isinstance(size, int) and size > 1 for size in shape]
    return fixed == [True, False, True]
