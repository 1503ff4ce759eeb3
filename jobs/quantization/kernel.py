"""Numbers into int8, block by block: read a block, scale and round it, write it, on as many threads as there are cores.

A block of int8 is small enough to stay in a core's cache through all of it. Nothing larger than a few blocks is ever in
memory, whatever the size of the weight. numpy lets go of the interpreter's lock inside each of its calls, so that plain
threads fill the cores.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from jobs.quantization.choice import Chosen
from jobs.quantization.errors import QuantizationRefused

BLOCK = 128 * 1024
COPY_BLOCK = 4 * 1024 * 1024
TYPES: dict[int, np.dtype[Any]] = {
    TensorProto.FLOAT: np.dtype("<f4"),
    TensorProto.FLOAT16: np.dtype("<f2"),
    TensorProto.BFLOAT16: np.dtype(ml_dtypes.bfloat16),
}
# Values of the buffer that numpy is given; a multiple of 16.
SHORT = 128
# Bytes of a processor's cache line.
LINE = 64
# A channel whose values are all below this is stored as zeros: its scale's reciprocal would not be a number.
FAINT = 1e-35

Floats = NDArray[np.float32]


class NotFinite(Exception):
    """A weight holds NaN or infinity."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass(frozen=True)
class Result:
    """A weight that was written: its scales as they are stored, its signal-to-noise ratio in decibels.

    `zeros` are the zero points of 4-bit blocks, two to a byte.
    """

    scales: NDArray[Any]
    snr_db: float
    zeros: NDArray[np.uint8] | None = None


class Scratch(threading.local):
    """A thread's own buffers by name, grown to the largest block that it met: fresh ones would cost a page fault for
    every 4 KiB of each block. Each begins at a cache line."""

    def __init__(self) -> None:
        self._buffers: dict[str, NDArray[np.uint8]] = {}

    def array(self, name: str, shape: tuple[int, ...], kind: Any) -> NDArray[Any]:
        """A buffer of that shape, good until the thread asks for the same name again."""
        kind = np.dtype(kind)
        size = math.prod(shape) * kind.itemsize
        buffer = self._buffers.get(name)
        if buffer is None or buffer.size < size:
            whole = np.empty(size + LINE, np.uint8)
            buffer = self._buffers[name] = whole[-whole.ctypes.data % LINE :]
        return buffer[:size].view(kind).reshape(shape)

    def floats(self, name: str, shape: tuple[int, ...]) -> Floats:
        return self.array(name, shape, np.float32)


class Kernel:
    """Quantizes weights from files into a file. Use as a context: it holds threads and open files."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        # numpy copies what is broadcast over rows into its buffer (8,192 values by default) where two rows fit there.
        self.pool = ThreadPoolExecutor(threads, "quantize", np.setbufsize, (SHORT,))
        self.scratch = Scratch()
        self._files: dict[str, int] = {}

    def __enter__(self) -> Kernel:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown(cancel_futures=True)
        for descriptor in self._files.values():
            os.close(descriptor)

    def quantize(self, weight: Chosen, out: int, offset: int, done: Callable[[int], None]) -> Result:
        """Writes the weight's int8 values to `out` at `offset`, in the weight's own order.

        `done` is told the bytes that were read for good. Raises NotFinite.
        """
        source = self.source(weight)
        length = weight.elements // weight.channels
        if weight.by_rows:
            return self._rows(weight, source, length, out, offset, done)
        return self._columns(weight, source, length, out, offset, done)

    def copy(self, path: str, start: int, length: int, out: int, offset: int, done: Callable[[int], None]) -> None:
        """Copies bytes as they are."""
        descriptor = self._open(path)

        def move(at: int) -> None:
            size = min(COPY_BLOCK, length - at)
            os.pwrite(out, os.pread(descriptor, size, start + at), offset + at)
            done(size)

        list(self.pool.map(move, range(0, length, COPY_BLOCK)))

    def _rows(
        self, weight: Chosen, source: Source, length: int, out: int, offset: int, done: Callable[[int], None]
    ) -> Result:
        scales = np.empty(weight.channels, np.float32)

        def block(span: tuple[int, int]) -> tuple[float, float]:
            first, last = span
            shape = (last - first, length)
            values, scaled = source.read(self.scratch, first * length, shape), self.scratch.floats("scaled", shape)
            np.abs(values, out=scaled)
            mine, inverse = _scales(weight, scaled.max(axis=1), span)
            scales[first:last] = mine
            np.multiply(values, inverse[:, None], out=scaled)
            squares = np.square(mine, dtype=np.float64)
            signal = float(np.dot(np.einsum("ij,ij->i", scaled, scaled), squares))
            noise = self._write(scaled, out, offset + first * length)
            done(shape[0] * length * source.itemsize)
            return signal, float(np.dot(np.einsum("ij,ij->i", noise, noise), squares))

        sums = self.pool.map(block, spans(weight.channels, length))
        return Result(scales, decibels(list(sums)))

    def _columns(
        self, weight: Chosen, source: Source, length: int, out: int, offset: int, done: Callable[[int], None]
    ) -> Result:
        width = weight.channels

        def largest(span: tuple[int, int]) -> Floats:
            shape = (span[1] - span[0], width)
            values, scaled = source.read(self.scratch, span[0] * width, shape), self.scratch.floats("scaled", shape)
            top: Floats = np.abs(values, out=scaled).max(axis=0)
            return top

        blocks = list(spans(length, width))
        tops = np.zeros(width, np.float32)
        for top in self.pool.map(largest, blocks):
            np.maximum(tops, top, out=tops)
        scales, inverse = _scales(weight, tops, (0, width))
        # In units of the scales both sums fit float32, however large or small the weight's values are.
        squares = np.square(scales, dtype=np.float64)

        def block(span: tuple[int, int]) -> tuple[float, float]:
            shape = (span[1] - span[0], width)
            values, scaled = source.read(self.scratch, span[0] * width, shape), self.scratch.floats("scaled", shape)
            np.multiply(values, inverse, out=scaled)
            signal = float(np.dot(np.einsum("ij,ij->j", scaled, scaled), squares))
            noise = self._write(scaled, out, offset + span[0] * width)
            done(shape[0] * width * source.itemsize)
            return signal, float(np.dot(np.einsum("ij,ij->j", noise, noise), squares))

        return Result(scales, decibels(list(self.pool.map(block, blocks))))

    def _write(self, scaled: Floats, out: int, offset: int) -> Floats:
        """Rounds, writes, and gives back the rounding errors, in units of the scale, in place of `scaled`."""
        rounded = np.rint(scaled, out=self.scratch.floats("rounded", scaled.shape))
        small = self.scratch.array("bytes", scaled.shape, np.int8)
        np.copyto(small, rounded, casting="unsafe")
        write_all(out, small.data.cast("B"), offset)
        return np.subtract(scaled, rounded, out=scaled)

    def source(self, weight: Chosen) -> Source:
        kind = TYPES[weight.tensor.data_type]
        if weight.extent is None:
            return Source(numpy_helper.to_array(weight.tensor).astype(np.float32).ravel(), None, 0, kind)
        return Source(None, self._open(str(weight.extent.path)), weight.extent.offset, kind)

    def _open(self, path: str) -> int:
        if path not in self._files:
            self._files[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return self._files[path]


@dataclass(frozen=True)
class Source:
    """Where a weight's values come from: memory, or a place in an open file."""

    memory: Floats | None
    descriptor: int | None
    offset: int
    kind: np.dtype[Any]

    @property
    def itemsize(self) -> int:
        return self.kind.itemsize

    def read(self, scratch: Scratch, first: int, shape: tuple[int, int]) -> Floats:
        """Values as float32, good until this thread's next read."""
        count = shape[0] * shape[1]
        if self.memory is not None:
            return self.memory[first : first + count].reshape(shape)
        assert self.descriptor is not None
        size = count * self.itemsize
        raw = scratch.array("raw", (size,), np.uint8)
        view = raw.data
        at = 0
        while at < size:
            read = os.preadv(self.descriptor, [view[at:]], self.offset + first * self.itemsize + at)
            if not read:
                raise QuantizationRefused(
                    "tensor-damaged", "The model's file became shorter while it was read.", "Copy it again."
                )
            at += read
        values = raw.view(self.kind).reshape(shape)
        if self.kind == np.float32:
            return values
        wide = scratch.floats("values", shape)
        np.copyto(wide, values)
        return wide


def spans(rows: int, width: int) -> Iterator[tuple[int, int]]:
    """Row ranges of about `BLOCK` values each."""
    step = max(1, BLOCK // width)
    return ((first, min(first + step, rows)) for first in range(0, rows, step))


def write_all(descriptor: int, data: memoryview, offset: int) -> None:
    """Writes every byte, whatever a single call takes."""
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written


def _scales(weight: Chosen, tops: Floats, channels: tuple[int, int]) -> tuple[Floats, Floats]:
    if not np.isfinite(tops).all():
        raise NotFinite(weight.name)
    if weight.least is not None:
        tops = np.maximum(tops, weight.least[slice(*channels)])
    scales = tops / np.float32(weight.largest)
    faint = tops < FAINT
    scales[faint] = 1.0
    return scales, (np.float32(1.0) / scales).astype(np.float32)


def decibels(sums: list[tuple[float, float]]) -> float:
    signal, noise = sum(pair[0] for pair in sums), sum(pair[1] for pair in sums)
    if not signal or not noise:
        return 999.0
    return round(10 * float(np.log10(signal / noise)), 2)
