"""The quantized model's files, laid out before the first weight is read.

Every length is known from the shapes, so the place of each tensor is fixed at once: the room on the disk is taken
before the work, and threads write where they are done. Tensors stand at the end of the graph's message, one after the
other, or, when the model would come near protobuf's 2 GiB, in one file beside it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto

from jobs.conversion.graph import ALIGNMENT
from jobs.conversion.skeleton import BYTES, RAW_DATA, Extent, encode_key, encode_varint, extent_of, point_at, tensors_of
from jobs.quantization.errors import QuantizationRefused
from jobs.quantization.kernel import Result, write_all
from jobs.quantization.rewrite import Planned

GRAPH_FIELD, INITIALIZER_FIELD = 7, 5
# Shorter tensors need no page of their own.
PAGED = 64 * 1024
HEADROOM = 16 * 1024 * 1024
# By name: the tensor without its bytes, their number, and where they are copied from, if they are.
Heads = dict[str, tuple[bytes, int, Extent | None]]


@dataclass
class Piece:
    """A tensor's bytes in the output: `offset` in the file that holds the weights. `copied_from` is None when made."""

    name: str
    length: int
    copied_from: Extent | None = None
    offset: int = 0


class Output:
    """Where everything goes. `data` is the file that holds the weights: the model itself or the one beside it."""

    def __init__(
        self,
        folder: Path,
        name: str,
        model: onnx.ModelProto,
        source: Path,
        planned: list[Planned],
        inline_limit: int,
    ) -> None:
        """Takes `model`, whose large tensors still lie in `source`, apart into what is written first and pieces."""
        self.path = folder / name
        heads: Heads = {plan.name: (_head(plan.name, plan.dims, plan.data_type), plan.bytes, None) for plan in planned}
        kept: list[TensorProto] = []
        for tensor in model.graph.initializer:
            extent = extent_of(tensor, source)
            if extent is None:
                kept.append(tensor)
            else:
                heads[tensor.name] = (
                    _head(tensor.name, tuple(tensor.dims), tensor.data_type), extent.length, extent,
                )  # fmt: skip
        small = [TensorProto.FromString(tensor.SerializeToString()) for tensor in kept]
        del model.graph.initializer[:]
        model.graph.initializer.extend(small)
        embedded = [(tensor, extent) for tensor in tensors_of(model) if (extent := extent_of(tensor, source))]
        total = sum(length for _, length, _ in heads.values()) + sum(extent.length for _, extent in embedded)
        self.inline = total + model.ByteSize() < inline_limit
        self.pieces = {key: Piece(key, length, extent) for key, (_, length, extent) in heads.items()}
        if self.inline:
            for tensor, extent in embedded:
                _embed(tensor, extent)
            self._static = self._lay_inline(model, heads)
            self.data = self.path
        else:
            self.data = self.path.with_name(f"{name}.data")
            self._static = self._lay_beside(model, heads, embedded)
        self.bytes = self.data_bytes + (0 if self.inline else len(self._static[0][1]))

    def _lay_inline(self, model: onnx.ModelProto, heads: Heads) -> list[tuple[int, bytes]]:
        graph = model.graph.SerializeToString()
        model.ClearField("graph")
        starts: dict[str, bytes] = {}
        for name, (head, length, _) in heads.items():
            inner = head + encode_key(RAW_DATA, BYTES) + encode_varint(length)
            starts[name] = encode_key(INITIALIZER_FIELD, BYTES) + encode_varint(len(inner) + length) + inner
        size = len(graph) + sum(len(start) + heads[name][1] for name, start in starts.items())
        front = model.SerializeToString() + encode_key(GRAPH_FIELD, BYTES) + encode_varint(size) + graph
        static, position = [(0, front)], len(front)
        for name, start in starts.items():
            static.append((position, start))
            position += len(start)
            self.pieces[name].offset = position
            position += heads[name][1]
        self.data_bytes = position
        return static

    def _lay_beside(
        self,
        model: onnx.ModelProto,
        heads: Heads,
        embedded: list[tuple[TensorProto, Extent]],
    ) -> list[tuple[int, bytes]]:
        position = 0

        def place(tensor: TensorProto, piece: Piece) -> None:
            nonlocal position
            step = ALIGNMENT if piece.length >= PAGED else 64
            piece.offset = -(-position // step) * step
            position = piece.offset + piece.length
            tensor.ClearField("raw_data")
            tensor.ClearField("float_data")
            point_at(tensor, self.data.name, piece.offset, piece.length)

        for name, (head, _, _) in heads.items():
            tensor = TensorProto.FromString(head)
            place(tensor, self.pieces[name])
            model.graph.initializer.append(tensor)
        for index, (tensor, extent) in enumerate(embedded):
            piece = self.pieces[f"\0body {index}"] = Piece(tensor.name, extent.length, extent)
            place(tensor, piece)
        self.data_bytes = position
        return [(0, model.SerializeToString())]

    @property
    def layout(self) -> str:
        """A digest of where everything lies and of all that is known before the work."""
        digest = hashlib.sha256(repr([(piece.offset, piece.length) for piece in self.pieces.values()]).encode())
        for offset, content in self._static:
            digest.update(f"{offset} {len(content)} ".encode() + content)
        return digest.hexdigest()

    def refuse_full(self) -> None:
        """Raises QuantizationRefused (`disk-full`) when the disk has not the room for all of it."""
        taken = self.data.stat().st_blocks * 512 if self.data.exists() else 0
        free = shutil.disk_usage(self.path.parent).free + taken
        if self.bytes + HEADROOM > free:
            raise disk_full(self.path.parent, self.bytes, free)

    @contextmanager
    def opened(self) -> Iterator[int]:
        """The file descriptor that pieces are written to; its room is taken and all that is known is in it.

        Pieces that are in it already stay. Raises QuantizationRefused (`disk-full`) before anything is computed.
        """
        self.refuse_full()
        if not self.inline:
            self.path.write_bytes(self._static[0][1])
        descriptor = os.open(self.data, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            if self.data_bytes:
                os.posix_fallocate(descriptor, 0, self.data_bytes)
            if self.inline:
                for offset, content in self._static:
                    write_all(descriptor, memoryview(content), offset)
            yield descriptor
        finally:
            os.close(descriptor)

    def fill(self, file: int, plans: list[Planned], result: Result) -> None:
        """Writes all of a weight but its values, which are there: scales, zero points, and what is made of them."""
        for plan in plans:
            place = self.pieces[plan.name].offset
            if plan.role == "scale":
                write_all(file, memoryview(result.scales.tobytes()), place)
            elif plan.role == "zeros" and result.zeros is not None:
                write_all(file, memoryview(result.zeros.tobytes())[: plan.bytes], place)
            elif plan.made is not None:
                write_all(file, memoryview(plan.made(result)), place)

    def copies(self) -> list[tuple[Piece, Extent]]:
        """The pieces that are taken over as they are, and where they lie."""
        return [(piece, piece.copied_from) for piece in self.pieces.values() if piece.copied_from is not None]


def disk_full(folder: Path, needed: int, free: int) -> QuantizationRefused:
    """The refusal for want of room."""
    return QuantizationRefused(
        "disk-full",
        f"The output needs {needed} bytes and the disk of {folder.resolve()} has {free} free.",
        "Free some space or write to another disk.",
    )


def put_in_place(made: Path, destination: Path, other: Callable[[Path], Path]) -> None:
    """Renames the finished files; the weights first, so that no model stands without them."""
    beside = other(made)
    if beside.exists():
        beside.replace(other(destination))
    made.replace(destination)


def _head(name: str, dims: tuple[int, ...], data_type: int) -> bytes:
    return TensorProto(name=name, dims=dims, data_type=data_type).SerializeToString()


def _embed(tensor: TensorProto, extent: Extent) -> None:
    with extent.path.open("rb") as stream:
        stream.seek(extent.offset)
        raw = stream.read(extent.length)
    tensor.ClearField("external_data")
    tensor.ClearField("data_location")
    tensor.raw_data = raw
