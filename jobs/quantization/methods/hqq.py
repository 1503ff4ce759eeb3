"""HQQ: better scales and zero points for blocks, from the weights alone (Badri & Shaji 2023).

Half-quadratic splitting of an l_p error with p below 1, under which a few large errors cost little: in turns, the error
is split into what is taken for outliers (a generalised soft threshold) and the rest, and the grid is fitted to the
values without the outliers. Two things differ from the paper. Zero points are whole steps in both forms that are
written, and one that is rounded after the fact wins nothing, so that the scale is fitted as well, by least squares,
which also serves blocks without zero points. And of all the grids on the way each block keeps the one with the least
squared error, the plain one included: no block is ever worse than rounded to nearest.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jobs.quantization.kernel import Floats
from jobs.quantization.methods.grid import MIDDLE, STEPS, Grid, stored

# As in the paper's own code for 4 bits: the norm, the first weight of the split, its growth, and the rounds.
NORM = 0.7
WEIGHT, GROWTH = 10.0, 1.01
ROUNDS = 20
# In steps; the threshold's power has a pole at 0.
SMALLEST_ERROR = 1e-4


def refine(values: Floats, grid: Grid, axis: int, kind: np.dtype[Any]) -> Grid:
    """A grid whose squared error in each block along `axis` is at most that of `grid`, for scales of `kind`."""
    # Squares of very large values overflow; such a block keeps the grid that it came with.
    with np.errstate(over="ignore", invalid="ignore"):
        return _refined(values, grid, axis, kind)


def _refined(values: Floats, grid: Grid, axis: int, kind: np.dtype[Any]) -> Grid:
    best, best_error = grid, np.full(grid.scale.shape, np.inf, np.float32)
    weight = WEIGHT
    for turn in range(ROUNDS + 1):
        steps, rounded = grid.nearest(values)
        error = np.subtract(values, rounded, out=rounded)
        squared = np.square(error).sum(axis=axis, keepdims=True)
        better = squared < best_error
        if turn and not better.any():
            break
        best_error = np.where(better, squared, best_error)
        best = Grid(
            np.where(better, grid.scale, best.scale),
            None if grid.points is None or best.points is None else np.where(better, grid.points, best.points),
        )
        if turn < ROUNDS:
            grid = _fitted(steps, values - _outliers(error, grid.scale, weight), grid, axis, kind)
            weight *= GROWTH
    return best


def _outliers(error: Floats, scale: Floats, weight: float) -> Floats:
    """The part of each error that is not the grid's to mend; errors count in steps, so that every block has the same
    threshold."""
    size = np.abs(scale)
    far = np.abs(error)
    far /= size
    np.maximum(far, SMALLEST_ERROR, out=far)
    far -= np.power(far, np.float32(NORM - 1)) / np.float32(weight)
    np.maximum(far, 0, out=far)
    far *= size
    return np.copysign(far, error, out=far)


def _fitted(steps: Floats, values: Floats, grid: Grid, axis: int, kind: np.dtype[Any]) -> Grid:
    """The grid that brings `steps` nearest to `values`, with whole zero points."""
    if grid.points is None:
        points: Floats | None = None
        steps = steps - np.float32(MIDDLE)
    else:
        middle = steps.mean(axis=axis, keepdims=True)
        slope = _slope(steps - middle, values, grid.scale, axis)
        points = np.clip(np.rint(middle - values.mean(axis=axis, keepdims=True) / slope), 0, STEPS)
        steps = steps - points
    return Grid(stored(_slope(steps, values, grid.scale, axis), kind), points)


def _slope(steps: Floats, values: Floats, before: Floats, axis: int) -> Floats:
    """By least squares; the one before where it has no meaning or another sign."""
    size = np.square(steps).sum(axis=axis, keepdims=True)
    found = (steps * values).sum(axis=axis, keepdims=True) / np.maximum(size, np.float32(1e-6))
    slope: Floats = np.where((size > 0) & (found * before > 0), found, before).astype(np.float32)
    return slope
