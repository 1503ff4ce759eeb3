"""``python -m jobs.quantization.generate OUT.onnx --size 6G``: a model shaped like Llama, any size, random weights.

For benchmarks and rehearsals on a site that has no large model at hand. The graph is a whole decoder without a cache
(RMSNorm, rotary positions, causal attention, SwiGLU) and runs; what it says is noise. Weights are written as they are
drawn, to `OUT.onnx.data`, so that memory stays the same whatever the size.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import onnx
from onnx import TensorProto, helper

from jobs.conversion.commandline import Parser, carry_out, say
from jobs.conversion.files import replacing
from jobs.conversion.graph import ALIGNMENT, Graph, WeightStore
from jobs.conversion.skeleton import point_at
from jobs.quantization.errors import QuantizationRefused
from jobs.quantization.meter import Meter
from jobs.quantization.output import HEADROOM, disk_full

Progress = Callable[[float, str], None]
UNITS = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
HEAD = 64
# Llama's own: 32,000 tokens, about 128 of the width to a layer. A small model gets fewer tokens.
VOCABULARY, WIDTH_TO_LAYER = 32_000, 128
WIDTHS = (64, 128, 256, 512, 1024, 2048, 3072, 4096, 5120, 8192)
# Values drawn at once.
DRAWN = 1 << 20
SPREAD = 0.02


@dataclass(frozen=True)
class Shape:
    """Of a decoder: `hidden` is its width, `inner` that of the feed-forward part; `vocabulary` tokens."""

    layers: int
    hidden: int
    vocabulary: int

    @property
    def inner(self) -> int:
        """8/3 of the width in steps of 64, as Llama has it."""
        return -(-self.hidden * 8 // 3 // 64) * 64

    @property
    def per_layer(self) -> int:
        """Weights in a layer's matrices."""
        return self.hidden * (4 * self.hidden + 3 * self.inner)

    @property
    def weights(self) -> int:
        """Weights in all matrices."""
        return self.layers * self.per_layer + 2 * self.vocabulary * self.hidden


def shape_for(size: int, layers: int | None = None, hidden: int | None = None) -> Shape:
    """The shape whose float32 weights take about `size` bytes, which `layers` and `hidden` together overrule.

    Raises QuantizationRefused when no shape is so small.
    """
    wanted = size // 4
    for width in (hidden,) if hidden else reversed(WIDTHS):
        vocabulary = max(HEAD, min(VOCABULARY, wanted // 8 // width // HEAD * HEAD))
        rest = wanted - 2 * vocabulary * width
        count = rest // Shape(1, width, vocabulary).per_layer
        if layers and (hidden or count >= layers):
            return Shape(layers, width, vocabulary)
        if not layers and count >= (1 if hidden else max(2, width // WIDTH_TO_LAYER * 3 // 4)):
            return Shape(count, width, vocabulary)
    raise QuantizationRefused(
        "size-too-small", f"A decoder of {size} bytes has no room for its layers.", "Give a larger --size."
    )


def generate(path: Path, shape: Shape, seed: int = 1, progress: Progress | None = None) -> int:
    """Writes `path` and `path`.data; gives their bytes together.

    Input `input_ids` [batch, words], int64; output `logits` [batch, words, vocabulary]. Raises ConversionRefused when
    the disk is too small or cannot be written.
    """
    beside = path.with_name(f"{path.name}.data")
    total = shape.weights * 4
    folder = path.resolve().parent
    if folder.is_dir() and (free := shutil.disk_usage(folder).free) < total + HEADROOM:
        raise disk_full(folder, total, free)
    with replacing(path) as model_part, replacing(beside) as data_part:
        with data_part.open("wb") as stream:
            meter = Meter(total, progress or (lambda share, line: None), 0.0, 1.0)
            model = _decoder(shape, Drawn(stream, beside.name, np.random.default_rng(seed), meter))
        model_part.write_bytes(model.SerializeToString())
        return data_part.stat().st_size + model_part.stat().st_size


@dataclass(frozen=True)
class Drawn:
    """Matrices of normal random values, drawn in pieces into `stream`, which the model knows as `location`."""

    stream: BinaryIO
    location: str
    random: np.random.Generator
    meter: Meter

    def tensor(self, name: str, rows: int, columns: int) -> TensorProto:
        """The initializer of a matrix that was written."""
        offset = -(-self.stream.tell() // ALIGNMENT) * ALIGNMENT
        self.stream.seek(offset)
        count = rows * columns
        for first in range(0, count, DRAWN):
            values = self.random.standard_normal(min(DRAWN, count - first), np.float32)
            values *= np.float32(SPREAD)
            self.stream.write(values.data)
            self.meter.add(values.nbytes)
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=(rows, columns))
        point_at(tensor, self.location, offset, count * 4)
        return tensor


def _decoder(shape: Shape, drawn: Drawn) -> onnx.ModelProto:
    graph = Graph(WeightStore(Path(), inline=True, location=""))

    def matrix(name: str, rows: int, columns: int) -> str:
        graph.initializers.append(drawn.tensor(name, rows, columns))
        return name

    def norm(source: str, name: str) -> str:
        squares = graph.add("Mul", [source, source], f"{name}.squares")
        mean = graph.add("ReduceMean", [squares, graph.constant([-1], np.int64)], f"{name}.mean")
        root = graph.add("Sqrt", [graph.add("Add", [mean, graph.constant(1e-6)], f"{name}.safe")], f"{name}.root")
        factors = graph.weight(f"{name}.weight", np.ones(shape.hidden, np.float32))
        return graph.add("Mul", [graph.add("Div", [source, root], f"{name}.even"), factors], name)

    def linear(source: str, name: str, rows: int, columns: int) -> str:
        return graph.add("MatMul", [source, matrix(f"{name}.weight", rows, columns)], name)

    def heads(source: str, name: str) -> str:
        split = graph.add("Reshape", [source, graph.constant([0, 0, -1, HEAD], np.int64)], f"{name}.split")
        return graph.add("Transpose", [split], f"{name}.heads", perm=[0, 2, 1, 3])

    def turned(source: str, name: str) -> str:
        """Rotary positions: each half of a head with the other's, by angles that grow with the position."""
        first, second = f"{name}.first", f"{name}.second"
        graph.nodes.append(helper.make_node("Split", [source], [first, second], axis=-1, num_outputs=2))
        other = graph.add("Concat", [graph.add("Neg", [second], f"{name}.minus"), first], f"{name}.other", axis=-1)
        parts = [graph.add("Mul", [source, "cos"], f"{name}.cos"), graph.add("Mul", [other, "sin"], f"{name}.sin")]
        return graph.add("Add", parts, f"{name}.turned")

    hidden, inner = shape.hidden, shape.inner
    words = graph.add("Shape", ["input_ids"], "words.shape", start=1, end=2)
    count = graph.add("Squeeze", [words], "words.count")
    places = graph.add("Range", [graph.constant(0, np.int64), count, graph.constant(1, np.int64)], "places")
    column = graph.add("Unsqueeze", [places, graph.constant([1], np.int64)], "places.column")
    earlier = graph.add("LessOrEqual", [places, column], "earlier")
    rates = 10_000.0 ** (-np.arange(0, HEAD, 2, dtype=np.float64) / HEAD)
    moving = graph.add("Cast", [column], "places.float", to=TensorProto.FLOAT)
    angles = graph.add("Mul", [moving, graph.constant(np.concatenate([rates, rates]))], "angles")
    graph.add("Cos", [angles], "cos")
    graph.add("Sin", [angles], "sin")
    state = graph.add("Gather", [matrix("embed_tokens.weight", shape.vocabulary, hidden), "input_ids"], "embedded")
    for number in range(shape.layers):
        layer = f"layers.{number}"
        even = norm(state, f"{layer}.input_norm")
        query, key, value = (linear(even, f"{layer}.{part}_proj", hidden, hidden) for part in "qkv")
        query, key = (turned(heads(one, one), one) for one in (query, key))
        sideways = graph.add("Transpose", [key], f"{layer}.sideways", perm=[0, 1, 3, 2])
        scores = graph.add("MatMul", [query, sideways], f"{layer}.scores")
        scaled = graph.add("Mul", [scores, graph.constant(HEAD**-0.5)], f"{layer}.scaled")
        masked = graph.add("Where", [earlier, scaled, graph.constant(-1e9)], f"{layer}.masked")
        shares = graph.add("Softmax", [masked], f"{layer}.shares", axis=-1)
        mixed = graph.add("MatMul", [shares, heads(value, value)], f"{layer}.mixed")
        back = graph.add("Transpose", [mixed], f"{layer}.back", perm=[0, 2, 1, 3])
        joined = graph.add("Reshape", [back, graph.constant([0, 0, -1], np.int64)], f"{layer}.joined")
        state = graph.add("Add", [state, linear(joined, f"{layer}.o_proj", hidden, hidden)], f"{layer}.attended")
        even = norm(state, f"{layer}.post_norm")
        gate = linear(even, f"{layer}.gate_proj", hidden, inner)
        silu = graph.add("Mul", [gate, graph.add("Sigmoid", [gate], f"{layer}.sigmoid")], f"{layer}.silu")
        fed = graph.add("Mul", [silu, linear(even, f"{layer}.up_proj", hidden, inner)], f"{layer}.fed")
        state = graph.add("Add", [state, linear(fed, f"{layer}.down_proj", inner, hidden)], f"{layer}.out")
    head = matrix("lm_head.weight", hidden, shape.vocabulary)
    graph.add("MatMul", [norm(state, "norm"), head], "logits")
    return graph.model(
        "generated",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "words"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "words", shape.vocabulary])],
        opset=21,
        ir_version=10,
        metadata={"generated": "random weights"},
    )


def size_of(text: str) -> int:
    """A number of bytes from `600M` or `6G`. Raises ArgumentTypeError."""
    number, unit = (text[:-1], UNITS[text[-1:].upper()]) if text[-1:].upper() in UNITS else (text, 1)
    try:
        size = int(float(number) * unit)
    except (ValueError, OverflowError):
        size = 0
    if size <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 600M or 6G")
    return size


def main() -> int:
    parser = Parser(prog="python -m jobs.quantization.generate", description=__doc__)
    parser.add_argument("destination", type=Path, metavar="OUT.onnx")
    parser.add_argument("--size", type=size_of, required=True, help="of the weights in float32, about: 600M, 6G")
    parser.add_argument("--layers", type=int)
    parser.add_argument("--hidden", type=int, help=f"width, a multiple of {HEAD}")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="the last line is what was made, as JSON")
    given = parser.parse_args()
    if (given.layers or 1) < 1 or (given.hidden or HEAD) % HEAD or (given.hidden or HEAD) < HEAD:
        parser.error(f"--layers is at least 1, --hidden a multiple of {HEAD}")

    def work() -> dict[str, Any]:
        shape = shape_for(given.size, given.layers, given.hidden)
        made = generate(given.destination, shape, given.seed, say)
        return {"bytes": made, **asdict(shape), "inner": shape.inner, "seed": given.seed}

    return carry_out(work, as_json=given.json)


if __name__ == "__main__":
    sys.exit(main())
