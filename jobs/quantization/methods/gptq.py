"""GPTQ: each rounding error is made good by the values that are still to be rounded (Frantar et al. 2022).

Of a product y = x w only the second moments of x matter, H = x'x: an error in the values that meet one input is spread
over those that meet the inputs after it, as the inverse of H says. Blocks get their grids when their turn comes, from
what the values are by then. Inputs are taken in the model's own order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from jobs.quantization.blocks import BlockKernel, Blocks, Made, Packed, pack, stacked
from jobs.quantization.choice import Chosen
from jobs.quantization.kernel import Floats, Result, Source, write_all

# Of the mean of H's diagonal, added to all of it: the paper's first, and more where that does not make it invertible.
DAMPINGS = (0.01, 0.1, 1.0)
# Bytes of a weight that one thread has in work; the width must not depend on the number of threads.
TILE = 8 * 1024 * 1024
# Smaller ones are factored by numpy.
TRIANGLE = 64


class Unfit(Exception):
    """Second moments that GPTQ can do nothing with. It says why."""


@dataclass(frozen=True)
class Feedback:
    """`factor` [inputs, inputs] is U, upper triangular, with U'U the inverse of the damped H."""

    factor: Floats
    damping: float

    @classmethod
    def of(cls, moments: Floats) -> Feedback:
        """From H [inputs, inputs], which is used up. Raises Unfit."""
        diagonal = moments.diagonal().copy()
        if not np.isfinite(diagonal).all():
            raise Unfit("its inputs hold NaN or infinity")
        if not diagonal.any():
            raise Unfit("its inputs are all 0 on the samples")
        places = np.diag_indices_from(moments)
        # An input that is always 0 has nothing to correct with, and nothing to be corrected.
        diagonal[diagonal == 0] = 1
        for damping in DAMPINGS:
            moments[places] = diagonal + np.float32(damping) * diagonal.mean(dtype=np.float64)
            factor = np.zeros_like(moments)
            try:
                _factor(moments, factor)
            except np.linalg.LinAlgError:
                continue
            if np.isfinite(factor).all():
                return cls(factor, damping)
        raise Unfit("the second moments of its inputs cannot be inverted")


def _factor(moments: Floats, factor: Floats) -> None:
    """Fills the upper triangle of `factor`, U with U'U the inverse of `moments`, which stays as it is.

    U is the inverse of R in H = R R', an upper triangle: that is a Cholesky factor taken from the last row to the
    first. By halves, so that nearly all of it is products of large float32 matrices; numpy's own would make the whole
    matrix float64. Raises LinAlgError.
    """
    size = len(moments)
    if size <= TRIANGLE:
        lower = np.linalg.cholesky(moments[::-1, ::-1].astype(np.float64))
        factor[:] = np.triu(np.linalg.inv(lower)[::-1, ::-1])
        return
    half = size // 2
    first, last = slice(None, half), slice(half, None)
    _factor(moments[last, last], factor[last, last])
    beside = moments[first, last] @ factor[last, last].T
    _factor(moments[first, first] - beside @ beside.T, factor[first, first])
    np.matmul(factor[first, first], beside @ factor[last, last], out=factor[first, last])
    factor[first, last] *= -1


class FeedbackKernel(BlockKernel):
    """Quantizes by GPTQ what `feedback_of` gives feedback for, everything else as HQQ does."""

    def __init__(self, threads: int, feedback_of: Callable[[str], Feedback | None]) -> None:
        super().__init__(threads, "hqq")
        self.feedback_of = feedback_of

    def quantize(self, weight: Chosen, out: int, offset: int, done: Callable[[int], None]) -> Result:
        feedback = self.feedback_of(weight.name) if weight.blocks else None
        if weight.blocks is None or feedback is None:
            return super().quantize(weight, out, offset, done)
        return self._corrected(weight, weight.blocks, feedback.factor, out, offset, done)

    def _corrected(
        self, weight: Chosen, blocks: Blocks, factor: Floats, out: int, offset: int, done: Callable[[int], None]
    ) -> Result:
        source = self.source(weight)
        outputs, inputs = weight.shape[weight.axis], weight.shape[1 - weight.axis]
        by_output = blocks.by_output or weight.axis == 0
        count = blocks.count(inputs)
        made = Made(weight, (outputs, count) if by_output else (count, outputs))
        width = max(TILE // (4 * inputs) // 64 * 64, 64)

        def work(left: int) -> tuple[float, float]:
            right = min(outputs, left + width)
            values = self._columns_of(weight, source, left, right)
            given = values.copy()
            codes = np.zeros((count * blocks.size, right - left), np.uint8)
            for number in range(count):
                place = (slice(left, right), number) if by_output else (number, slice(left, right))
                _round_block(made, values, codes, factor, number * blocks.size, place)
            _write(codes, by_output, out, offset, left, outputs)
            done(values.size * source.itemsize)
            given_energy = float(np.vdot(given, given))
            given -= values
            return given_energy, float(np.vdot(given, given))

        return made.result(list(self.pool.map(work, range(0, outputs, width))))

    def _columns_of(self, weight: Chosen, source: Source, left: int, right: int) -> Floats:
        """[inputs, outputs from left to right], a copy."""
        outputs, inputs = weight.shape[weight.axis], weight.shape[1 - weight.axis]
        if weight.axis == 0:
            rows = source.read(self.scratch, left * inputs, (right - left, inputs))
            return rows.T.copy()
        values = np.empty((inputs, right - left), np.float32)
        for row in range(inputs):
            values[row] = source.read(self.scratch, row * outputs + left, (1, right - left))[0]
        return values


def _round_block(made: Made, values: Floats, codes: Packed, factor: Floats, first: int, place: tuple[Any, Any]) -> None:
    """Rounds the block that begins at input `first`, in place, and spreads its errors over all inputs after them."""
    last = first + made.blocks.size
    block, corner = values[first:last], factor[first:last, first:last]
    grid = made.grid(block, 0)
    made.keep(grid, place)
    errors = np.empty_like(block)
    for at in range(len(block)):
        steps, rounded = grid.nearest(block[at : at + 1])
        codes[first + at] = made.coded(steps[0].astype(np.uint8))
        np.subtract(block[at], rounded[0], out=errors[at])
        errors[at] /= corner[at, at]
        block[at] = rounded[0]
        block[at + 1 :] -= corner[at, at + 1 :, None] * errors[at]
    values[last:] -= factor[first:last, last:].T @ errors


def _write(codes: Packed, by_output: bool, out: int, offset: int, left: int, outputs: int) -> None:
    """Packs and writes the codes [inputs, some outputs] of a weight whose outputs begin at `left` here."""
    inputs = len(codes)
    if by_output:
        write_all(out, np.ascontiguousarray(stacked(codes).T).data.cast("B"), offset + left * inputs // 2)
        return
    for row, line in enumerate(pack(codes)):
        write_all(out, line.data.cast("B"), offset + (row * outputs + left) // 2)
