"""Both models of a checkpoint side by side, weight by weight: neither is ever whole, in memory or on the disk.

Products and lookups are computed here, out of a few rows of the weight at a time: of the original as they are converted
for it, of the result as they stand in its file. What lies between two of them ONNX Runtime runs, once for each model.
So the result's weights are what is measured; how a runtime arranges them is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

from jobs.conversion.skeleton import extent_of, read_skeleton
from jobs.quantization.choice import STANDARD, Chosen, int_of
from jobs.quantization.kernel import TYPES
from jobs.quantization.measure import Agreement, Row, Unloadable, first_line, row_of, summed, threads
from jobs.quantization.origin import Origin
from jobs.quantization.samples import Feed, Samples
from jobs.quantization.tiles import Tiles, stored_tiles, written_tiles
from jobs.quantization.written import Written

# Bytes of activations that are in memory at once, about, and what a row takes for each value of its widest one.
ROOM, COPIES = 128 * 1024 * 1024, 16
# The checkpoint is read once for each group of rows.
PASSES = 16
# What no product reads is in memory as a whole: norms, angles, the halves of a latent attention.
WHOLE = 96 * 1024 * 1024

Values = NDArray[Any]
# Of the original and of the result; the same array where nothing has made them differ yet.
Pair = tuple[Values, Values]
# Of one row, by name.
Known = dict[str, Pair]


class Unmeasurable(Exception):
    """Why the two cannot be compared this way."""


@dataclass(frozen=True)
class Streamed:
    """What is compared. `integers`: activations of products are rounded to 8 bits, as int8-dynamic does."""

    origin: Origin
    written: Written
    integers: bool

    def compare(self, samples: Samples, tell: Callable[[str], None]) -> Agreement:
        """The figures; on the first rows only where all would take more than `PASSES` readings of the checkpoint.

        Raises Unloadable when ONNX Runtime does not run what lies between two weights.
        """
        model = read_skeleton(self.origin.model)
        at_once = max(1, ROOM // (COPIES * max(map(_tokens, samples.feeds)) * self._widest()))
        # Random inputs show what is broken: once is enough for that.
        most = at_once * (1 if samples.generated else PASSES)
        if len(samples.feeds) > most:
            labels = samples.labels[:most] if samples.labels is not None else None
            told = f"{samples.origin}, the first {most} of them"
            samples = replace(samples, origin=told, feeds=samples.feeds[:most], labels=labels)
        rows: list[Row] = []
        try:
            for first in range(0, len(samples.feeds), at_once):
                rows += self._rows(model, samples.feeds[first : first + at_once])
                tell(f"{len(rows)} of {len(samples.feeds)} rows compared, weight by weight")
        except Unmeasurable as reason:
            return Agreement(False, f"not measured: {reason}")
        return summed(rows, samples)

    def _widest(self) -> int:
        """Values that a token has where it has most of them."""
        return max(
            weight.shape[1] if weight.kind == "Gather" else weight.shape[weight.axis]
            for weight in self._chosen.values()
        )

    @property
    def _chosen(self) -> dict[str, Chosen]:
        return {weight.name: weight for weight, _ in self.written.weights}

    def _rows(self, model: onnx.ModelProto, feeds: Sequence[Feed]) -> list[Row]:
        known: list[Known] = [{name: (value, value) for name, value in feed.items()} for feed in feeds]
        outputs = [value.name for value in model.graph.output]
        steps = list(self._steps(model.graph))
        last = {name: number for number, nodes in enumerate(steps) for node in nodes for name in node.input}
        last |= dict.fromkeys(outputs, len(steps))
        for number, nodes in enumerate(steps):
            if weight := self._by_rows(nodes[0]):
                self._multiply(nodes[0], weight, known)
            else:
                wanted = [name for node in nodes for name in node.output if last.get(name, 0) > number]
                self._run(model, nodes, wanted, known)
            for row in known:
                for name in [name for name in row if last.get(name, 0) <= number]:
                    del row[name]
        return [row_of([row[name][0] for name in outputs], [row[name][1] for name in outputs]) for row in known]

    def _steps(self, graph: onnx.GraphProto) -> Iterator[list[onnx.NodeProto]]:
        """The nodes in order: one that reads a weight by rows alone, others together as far as they go."""
        between: list[onnx.NodeProto] = []
        for node in graph.node:
            if self._by_rows(node):
                if between:
                    yield between
                    between = []
                yield [node]
            else:
                between.append(node)
        if between:
            yield between

    def _by_rows(self, node: onnx.NodeProto) -> Chosen | None:
        """The quantized matrix that a node reads, where that can be done a few rows at a time."""
        place = {"Gather": 0, "MatMul": 1, "Gemm": 1}.get(node.op_type)
        weight = self._chosen.get(node.input[place]) if place is not None and node.domain in STANDARD else None
        if weight is None or len(weight.shape) != 2:
            return None
        if node.op_type == "Gemm":
            plain = {"alpha": 1.0, "beta": 1.0}
            factors = any(one.f != plain[one.name] for one in node.attribute if one.name in plain)
            return None if len(node.input) > 2 or factors or int_of(node, "transA", 0) else weight
        return weight if node.op_type == "MatMul" or not int_of(node, "axis", 0) else None

    def _multiply(self, node: onnx.NodeProto, weight: Chosen, known: list[Known]) -> None:
        """A product or a lookup, for all rows at once and for each model."""
        made = []
        for side in range(2):
            inputs = [row[node.input[1 if node.op_type == "Gather" else 0]][side] for row in known]
            tiles = written_tiles(self.written, weight) if side else stored_tiles(self.origin, weight)
            if node.op_type == "Gather":
                made.append(_lookup(inputs, weight, tiles))
                continue
            if side and self.integers:
                inputs = [_rounded(values) for values in inputs]
            turned = node.op_type == "Gemm" and bool(int_of(node, "transB", 0))
            outputs = weight.shape[0 if turned else 1]
            by_output = turned or (side == 1 and weight.blocks is not None)
            made.append(_product(inputs, outputs, tiles, by_output=by_output))
        for row, pair in zip(known, zip(*made, strict=True), strict=True):
            row[node.output[0]] = pair

    def _run(self, model: onnx.ModelProto, nodes: list[onnx.NodeProto], wanted: list[str], known: list[Known]) -> None:
        """Nodes without such a weight, in ONNX Runtime."""
        read = dict.fromkeys(name for node in nodes for name in node.input if name)
        tensors = {tensor.name: tensor for tensor in model.graph.initializer if tensor.name in read}
        small = [tensor for tensor in tensors.values() if extent_of(tensor, self.origin.model) is None]
        weights = {name: self._whole(tensor) for name, tensor in tensors.items() if tensor not in small}
        given = [name for name in read if name in known[0]]
        first = {name: pair[0] for name, pair in ({name: known[0][name] for name in given} | weights).items()}
        session = _session(model, nodes, small, first, wanted)
        for row in known:
            pairs = {name: row[name] for name in given} | weights
            same = all(one is other for one, other in pairs.values())
            before = _answers(session, wanted, {name: pair[0] for name, pair in pairs.items()})
            after = before if same else _answers(session, wanted, {name: pair[1] for name, pair in pairs.items()})
            row.update(zip(wanted, zip(before, after, strict=True), strict=True))

    def _whole(self, tensor: TensorProto) -> Pair:
        """A weight of the original and of the result; the same where it was left as it was."""
        weight = self._chosen.get(tensor.name)
        size = int(np.prod(tensor.dims)) * 4
        if size > WHOLE:
            raise Unmeasurable(f"{tensor.name} takes {size >> 20} MiB of memory, {WHOLE >> 20} are the most")
        if weight is None:
            extent = extent_of(tensor, self.origin.model)
            assert extent is not None
            with self.origin.holding(tensor.name):
                kind = helper.tensor_dtype_to_np_dtype(tensor.data_type)
                values = np.fromfile(extent.path, kind, extent.length // kind.itemsize).reshape(tuple(tensor.dims))
            return values, values
        kind = TYPES[weight.tensor.data_type]
        both = [
            np.concatenate([tile for _, tile in tiles]).astype(kind)
            for tiles in (stored_tiles(self.origin, weight), written_tiles(self.written, weight))
        ]
        return both[0], both[1]


def _tokens(feed: Feed) -> int:
    """About as many values as each has of a width."""
    return max(int(np.prod(values.shape)) for values in feed.values() if values.dtype.kind in "iu")


def _lookup(inputs: list[Values], weight: Chosen, tiles: Tiles) -> list[Values]:
    count, width = weight.shape
    flat = np.concatenate([values.ravel() for values in inputs])
    wanted = np.where(flat < 0, flat + count, flat)
    found = np.empty((len(flat), width), TYPES[weight.tensor.data_type])
    for first, tile in tiles:
        mine = (wanted >= first) & (wanted < first + len(tile))
        found[mine] = tile[wanted[mine] - first]
    return _parted(found, [values.shape for values in inputs])


def _product(inputs: list[Values], outputs: int, tiles: Tiles, *, by_output: bool) -> list[Values]:
    """`by_output`: a tile's rows are outputs, else they are inputs."""
    flat = np.concatenate([values.reshape(-1, values.shape[-1]) for values in inputs]).astype(np.float32, copy=False)
    made = np.zeros((len(flat), outputs), np.float32)
    for first, tile in tiles:
        if by_output:
            made[:, first : first + len(tile)] = flat @ tile.T
        else:
            made += flat[:, first : first + len(tile)] @ tile
    return _parted(made.astype(inputs[0].dtype, copy=False), [values.shape[:-1] for values in inputs])


def _parted(flat: Values, shapes: list[tuple[int, ...]]) -> list[Values]:
    """The rows of each input again, in its shape."""
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    return [part.reshape(*shape, flat.shape[1]) for part, shape in zip(np.split(flat, ends[:-1]), shapes, strict=True)]


def _rounded(values: Values) -> Values:
    """What DynamicQuantizeLinear makes of an activation: 256 steps from its least value, or 0, to its greatest."""
    low, high = min(0.0, float(values.min(initial=0))), max(0.0, float(values.max(initial=0)))
    scale = np.float32((high - low) / 255) or np.float32(1)
    zero = np.clip(np.rint(-low / scale), 0, 255)
    made: Values = (np.clip(np.rint(values / scale) + zero, 0, 255) - zero) * scale
    return made.astype(values.dtype, copy=False)


def _session(
    model: onnx.ModelProto,
    nodes: list[onnx.NodeProto],
    small: list[TensorProto],
    given: dict[str, Values],
    wanted: list[str],
) -> onnxruntime.InferenceSession:
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(values.dtype), None)
        for name, values in given.items()
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in wanted]
    part = helper.make_model(
        helper.make_graph(nodes, "part", inputs, outputs, small),
        opset_imports=model.opset_import,
        ir_version=model.ir_version,
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(part.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own classes share no base below Exception
        raise Unloadable(first_line(error)) from error


def _answers(session: onnxruntime.InferenceSession, wanted: list[str], feed: dict[str, Values]) -> list[Values]:
    try:
        found: list[Values] = session.run(wanted, feed)
    except Exception as error:
        raise Unloadable(first_line(error)) from error
    return found
