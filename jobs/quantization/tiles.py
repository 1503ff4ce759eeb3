"""The values of a quantized weight, a few rows at a time: of the original, and those that the result stands for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.conversion.skeleton import extent_of
from jobs.quantization.choice import Chosen
from jobs.quantization.kernel import TYPES
from jobs.quantization.methods.grid import MIDDLE
from jobs.quantization.origin import Origin
from jobs.quantization.rewrite import Planned
from jobs.quantization.written import Written

# Values that are made float at once.
TILE = 4 * 1024 * 1024

# The number of its first row, and rows in float32.
Tiles = Iterator[tuple[int, NDArray[np.float32]]]


def stored_tiles(origin: Origin, weight: Chosen) -> Tiles:
    """The original's rows, as the weight has them."""
    extent = extent_of(weight.tensor, origin.model)
    assert extent is not None
    with origin.holding(weight.name):
        for first, last in _spans(weight.shape):
            rows = _read(
                extent.path, TYPES[weight.tensor.data_type], extent.offset, first, (last - first, *weight.shape[1:])
            )
            yield first, rows.astype(np.float32, copy=False)


def written_tiles(written: Written, weight: Chosen) -> Tiles:
    """The result's rows: as the weight has them in 8 bits; by outputs, [outputs, inputs], in 4."""
    plans = {plan.role: plan for plan in reversed(written.planned) if plan.weight is weight}
    if weight.blocks is not None:
        yield from _four_bit(written, weight, plans)
        return
    scale = _piece(written, plans["scale"], np.dtype(np.float32), 0, weight.scale_shape)
    for first, last in _spans(weight.shape):
        rows = _piece(written, plans["values"], np.dtype(np.int8), first, (last - first, *weight.shape[1:]))
        made = rows * (scale[first:last] if weight.by_rows else scale)
        # A narrower model has its weights in its own type before it multiplies with them.
        yield first, made.astype(TYPES[weight.tensor.data_type]).astype(np.float32, copy=False)


def _four_bit(written: Written, weight: Chosen, plans: dict[str, Planned]) -> Tiles:
    assert weight.blocks is not None
    outputs, inputs = weight.shape[weight.axis], weight.shape[1 - weight.axis]
    size, count = weight.blocks.size, weight.blocks.count(inputs)
    for first, last in _spans((outputs, count * size)):
        rows = last - first
        steps = _unpacked(_piece(written, plans["values"], np.dtype(np.uint8), first, (rows, count * size // 2)))
        made = steps.reshape(rows, count, size).astype(np.float32)
        if "zeros" in plans:
            zeros = _unpacked(_piece(written, plans["zeros"], np.dtype(np.uint8), first, (rows, -(-count // 2))))
            made -= zeros[:, :count, None]
        else:
            made -= MIDDLE
        made *= _piece(written, plans["scale"], TYPES[weight.tensor.data_type], first, (rows, count, 1))
        yield first, made.reshape(rows, -1)[:, :inputs]


def _spans(shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    step = max(1, TILE // int(np.prod(shape[1:], dtype=np.int64)))
    return ((first, min(first + step, shape[0])) for first in range(0, shape[0], step))


def _piece(written: Written, plan: Planned, kind: np.dtype[Any], first: int, shape: tuple[int, ...]) -> NDArray[Any]:
    return _read(written.output.data, kind, written.output.pieces[plan.name].offset, first, shape)


def _read(path: Path, kind: np.dtype[Any], offset: int, first: int, shape: tuple[int, ...]) -> NDArray[Any]:
    """Rows of a tensor that begins at `offset`, from row `first` on."""
    values = int(np.prod(shape, dtype=np.int64))
    begin = offset + first * (values // shape[0]) * kind.itemsize
    return np.fromfile(path, kind, values, offset=begin).reshape(shape)


def _unpacked(packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Two codes of a byte side by side, the lower half first."""
    made = np.empty((*packed.shape[:-1], 2 * packed.shape[-1]), np.uint8)
    made[..., 0::2] = packed & 15
    made[..., 1::2] = packed >> 4
    return made
