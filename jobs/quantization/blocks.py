"""Numbers into 4 bits: a scale, and where asked a zero point, for every block of a weight's summed axis.

Each value to the nearest step of its block's grid, or of a better one that HQQ finds. MatMulNBits stores steps without
zero points with 8 added.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.quantization.choice import Chosen
from jobs.quantization.kernel import (
    TYPES,
    Floats,
    Kernel,
    NotFinite,
    Result,
    Scratch,
    Source,
    decibels,
    spans,
    write_all,
)
from jobs.quantization.methods.grid import MIDDLE, STEPS, Grid, spread
from jobs.quantization.methods.hqq import refine

SIZES = (32, 64, 128)
# Bytes of packed columns that are gathered before they are written by output: a matrix of 4,096 by 32,000 at once.
GATHERED = 64 * 1024 * 1024
# Values of whole rows that are read at once, as long a run in the file as memory allows, and values that are quantized
# at once: more than a core's cache has, since long rows are worth more.
PIECE, TILE = 2 * 1024 * 1024, 512 * 1024

Packed = NDArray[np.uint8]
Words = NDArray[np.uint64]


@dataclass(frozen=True)
class Blocks:
    """How one weight becomes 4 bit.

    `size` values share a scale. `by_output`: values lie by output channel, [outputs, blocks, size / 2], whatever the
    weight's own order; else in the weight's own order. `signed`: the 4 bits are a two's complement.
    """

    size: int
    zero_points: bool
    by_output: bool
    signed: bool = False

    def count(self, length: int) -> int:
        """How many blocks a summed side has; by output the last may be filled up with zeros."""
        return -(-length // self.size)


def fitting(length: int, size: int) -> int | None:
    """The largest block of at most `size` that divides `length`; ``None`` when only blocks under 16 do."""
    return next((block for block in (size, 64, 32, 16) if block <= size and length % block == 0), None)


def filled(length: int, size: int, width: int) -> int:
    """The block of at most `size` that stores `length` values in the fewest bytes, its last block filled up; `width` is
    a scale's bytes. Of two that need the same, the smaller, which is more exact."""
    sizes = [block for block in (16, 32, 64, 128) if block <= size]
    return min(sizes, key=lambda block: -(-length // block) * (block // 2 + width))


class BlockKernel(Kernel):
    """Quantizes to 4 bits what has `blocks`, by the method rtn or hqq, and everything else as `Kernel` does."""

    def __init__(self, threads: int, method: str = "rtn") -> None:
        super().__init__(threads)
        self.refined = method != "rtn"

    def quantize(self, weight: Chosen, out: int, offset: int, done: Callable[[int], None]) -> Result:
        if weight.blocks is None:
            return super().quantize(weight, out, offset, done)
        source = self.source(weight)
        if weight.axis == 0:
            return self._side_by_side(weight, weight.blocks, source, out, offset, done)
        if weight.blocks.by_output:
            return self._turned(weight, weight.blocks, source, out, offset, done)
        return self._in_columns(weight, weight.blocks, source, out, offset, done)

    def _side_by_side(
        self, weight: Chosen, blocks: Blocks, source: Source, out: int, offset: int, done: Callable[[int], None]
    ) -> Result:
        """[outputs, inputs]: a block's values lie side by side."""
        outputs, inputs = weight.shape
        count = blocks.count(inputs)
        length = count * blocks.size
        made = Made(weight, (outputs, count), self.refined)

        def work(span: tuple[int, int]) -> tuple[float, float]:
            first, last = span
            values = source.read(self.scratch, first * inputs, (last - first, inputs))
            read = values.size * source.itemsize
            if length > inputs:
                whole = self.scratch.floats("whole", (last - first, length))
                whole[:, :inputs], whole[:, inputs:] = values, 0
                values = whole
            codes, sums = made.steps(self.scratch, values.reshape(-1, blocks.size), (slice(first, last), slice(None)))
            write_all(out, pack(codes.reshape(last - first, length)).data.cast("B"), offset + first * length // 2)
            done(read)
            return sums

        return made.result(list(self.pool.map(work, spans(outputs, inputs))))

    def _turned(
        self, weight: Chosen, blocks: Blocks, source: Source, out: int, offset: int, done: Callable[[int], None]
    ) -> Result:
        """[inputs, outputs] written by output: read in the weight's own order, gathered in memory."""
        inputs, outputs = weight.shape
        count, words = blocks.count(inputs), blocks.size // 16
        row = count * words
        made = Made(weight, (outputs, count), self.refined)
        sums: list[tuple[float, float]] = []
        for left, right in parts(0, outputs, GATHERED // (row * 8)):
            gathered = self.scratch.array("gathered", (right - left, row), np.uint64)

            def work(piece: tuple[int, int, int], left: int = left, gathered: Words = gathered) -> tuple[float, float]:
                number, first, last = piece
                rows = min(blocks.size, inputs - number * blocks.size)
                values = self._piece(source, number * blocks.size, rows, first, last, outputs)
                if rows < blocks.size:
                    whole = self.scratch.floats("whole", (blocks.size, last - first))
                    whole[:rows], whole[rows:] = values, 0
                    values = whole
                found = []
                for begin, end in parts(first, last, TILE // blocks.size):
                    tile = values[:, begin - first : end - first]
                    codes, pair = made.steps(self.scratch, tile, (slice(begin, end), number), axis=0)
                    place = gathered[begin - left : end - left, number * words : (number + 1) * words]
                    place[:] = upright(stacked(codes), self.scratch).T
                    found.append(pair)
                done(rows * (last - first) * source.itemsize)
                return total(found)

            widths = parts(left, right, PIECE // blocks.size)
            sums += self.pool.map(work, ((number, *ends) for number in range(count) for ends in widths))
            write_all(out, gathered.data.cast("B"), offset + left * row * 8)
        return made.result(sums)

    def _in_columns(
        self, weight: Chosen, blocks: Blocks, source: Source, out: int, offset: int, done: Callable[[int], None]
    ) -> Result:
        """[inputs, outputs] in its own order: a block is a piece of a column."""
        inputs, outputs = weight.shape
        made = Made(weight, (inputs // blocks.size, outputs), self.refined)

        def work(number: int) -> tuple[float, float]:
            values = source.read(self.scratch, number * blocks.size * outputs, (blocks.size, outputs))
            codes, sums = made.steps(self.scratch, values, (number, slice(None)), axis=0)
            write_all(out, pack(codes).data.cast("B"), offset + number * blocks.size * outputs // 2)
            done(values.size * source.itemsize)
            return sums

        return made.result(list(self.pool.map(work, range(inputs // blocks.size))))

    def _piece(self, source: Source, row: int, rows: int, first: int, last: int, width: int) -> Floats:
        """Some columns of some rows of a matrix that has `width` columns."""
        if last - first == width:
            return source.read(self.scratch, row * width, (rows, width))
        piece = self.scratch.floats("piece", (rows, last - first))
        for at in range(rows):
            piece[at] = source.read(self.scratch, (row + at) * width + first, (1, last - first))[0]
        return piece


def parts(first: int, last: int, step: int) -> list[tuple[int, int]]:
    """The range cut into parts of about the same length, none longer than `step`."""
    count = max(1, -(-(last - first) // max(1, step)))
    ends = [first + (last - first) * number // count for number in range(count + 1)]
    return list(pairwise(ends))


class Made:
    """The scales and zero points of one weight as they come; each thread fills rows of its own."""

    def __init__(self, weight: Chosen, shape: tuple[int, int], refined: bool = False) -> None:
        assert weight.blocks is not None
        self.weight = weight
        self.blocks = weight.blocks
        self.refined = refined
        self.scales: NDArray[Any] = np.empty(shape, TYPES[weight.tensor.data_type])
        self.zeros = np.empty(shape, np.uint8) if weight.blocks.zero_points else None

    def grid(self, values: Floats, axis: int) -> Grid:
        """The grid of blocks that lie along `axis`. Raises NotFinite."""
        grid = spread(values, axis, self.scales.dtype, zero_points=self.blocks.zero_points)
        if not grid.finite:
            raise NotFinite(self.weight.name)
        return refine(values, grid, axis, self.scales.dtype) if self.refined else grid

    def keep(self, grid: Grid, place: tuple[Any, Any]) -> None:
        """Takes the grid's scales and zero points in at `place`."""
        shape = self.scales[place].shape
        self.scales[place] = grid.scale.reshape(shape)
        if self.zeros is not None and grid.points is not None:
            self.zeros[place] = grid.points.reshape(shape)

    def steps(
        self, scratch: Scratch, values: Floats, place: tuple[Any, Any], axis: int = 1
    ) -> tuple[Packed, tuple[float, float]]:
        """The codes of blocks along `axis`, good until this thread's next, and the sums of squares of values and of
        errors, which stand in place of the values afterwards: fresh memory would cost more than the reckoning."""
        grid = self.grid(values, axis)
        self.keep(grid, place)
        scale = grid.scale
        scaled = np.multiply(values, np.float32(1) / scale, out=values)
        along = "ij,ij->i" if axis == 1 else "ij,ij->j"
        # In units of the scales both sums fit float32, however large or small the weight's values are.
        loud, squares = np.einsum(along, scaled, scaled), np.square(scale.ravel(), dtype=np.float64)
        if grid.points is None:
            low, high = -MIDDLE, MIDDLE - 1
        else:
            low, high = 0, STEPS
            scaled += grid.points
        steps = np.rint(scaled, out=scratch.floats("rounded", values.shape))
        # Clipped as float32: in int8 the error of what is clipped would be lost.
        np.clip(steps, np.float32(low), np.float32(high), out=steps)
        errors = np.subtract(scaled, steps, out=scaled)
        noise = np.einsum(along, errors, errors)
        whole = scratch.array("bytes", values.shape, np.int8)
        np.copyto(whole, steps, casting="unsafe")
        codes: Packed = whole.view(np.uint8)
        if grid.points is None:
            codes += np.uint8(MIDDLE)
        return self.coded(codes), (float(np.dot(loud, squares)), float(np.dot(noise, squares)))

    def coded(self, codes: Packed) -> Packed:
        """Steps from 0 to 15 as they are stored, a byte each; in place."""
        if self.blocks.signed:
            # In four bits of two's complement k - 8 is k with its highest bit turned.
            codes ^= MIDDLE
        return codes

    def result(self, sums: list[tuple[float, float]]) -> Result:
        zeros = None
        if self.zeros is not None:
            # A row of its own for each output where values lie so; else one run of nibbles.
            rows = self.zeros if self.blocks.by_output else self.zeros.reshape(1, -1)
            if rows.shape[1] % 2:
                rows = np.pad(rows, ((0, 0), (0, 1)))
            zeros = pack(rows)
        return Result(np.ascontiguousarray(self.scales), decibels(sums), zeros)


def pack(codes: Packed) -> Packed:
    """Two codes to a byte, the first in the lower half; the last axis is even."""
    pairs = np.ascontiguousarray(codes).view("<u2")
    # first + 256 * second becomes, in the upper byte, first + 16 * second. Bytes that lie apart would take longer.
    return np.ascontiguousarray((pairs * np.uint16(0x110)).view(np.uint8)[..., 1::2])


def stacked(codes: Packed) -> Packed:
    """Two rows of codes to one, the first in the lower half; there is an even number of rows."""
    packed: Packed = codes[1::2] * np.uint8(16)
    packed |= codes[0::2]
    return packed


def upright(packed: Packed, scratch: Scratch) -> Words:
    """Of every eight rows one of words, each eight bytes of a column: a matrix of words is turned several times faster
    than one of bytes."""
    rows, width = packed.shape[0] // 8, packed.shape[1]
    words: Words = scratch.array("words", (rows, width), np.uint64)
    places = words.view(np.uint8).reshape(rows, width, 8)
    for byte in range(8):
        places[..., byte] = packed[byte::8]
    return words


def total(sums: list[tuple[float, float]]) -> tuple[float, float]:
    return sum(one for one, _ in sums), sum(other for _, other in sums)
