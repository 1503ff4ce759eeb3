"""The 16 steps of a block: a scale and, where asked, a zero point, for values to be rounded to.

Without zero points the value of largest magnitude becomes -8 times the scale, so that all 16 steps are used. With zero
points the block's range, widened to hold 0, is cut into 15 steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from jobs.quantization.kernel import FAINT, Floats

STEPS = 15
MIDDLE = 8


@dataclass(frozen=True)
class Grid:
    """Of blocks along one axis of some values: `scale` and `points` have the values' shape with that axis 1.

    A step k from 0 to 15 stands for (k - point) * scale; without `points` every point is 8, and scales have a sign.
    """

    scale: Floats
    points: Floats | None

    @property
    def finite(self) -> bool:
        """False when a value is NaN or infinite, or the type of the scales does not reach as far."""
        return bool(np.isfinite(self.scale).all())

    def steps(self, values: Floats) -> Floats:
        """The nearest step of each value, as floats."""
        point = MIDDLE if self.points is None else self.points
        steps: Floats = np.divide(values, self.scale)
        steps += point
        np.rint(steps, out=steps)
        return np.clip(steps, 0, STEPS, out=steps)

    def nearest(self, values: Floats) -> tuple[Floats, Floats]:
        """The nearest step of each value, and what it stands for."""
        steps = self.steps(values)
        return steps, np.multiply(steps - (MIDDLE if self.points is None else self.points), self.scale)


def spread(values: Floats, axis: int, kind: np.dtype[Any], *, zero_points: bool) -> Grid:
    """The grid that reaches from the least to the greatest value of each block along `axis`, for scales of `kind`."""
    top, low = _ends(np.maximum, values, axis), _ends(np.minimum, values, axis)
    if not zero_points:
        far: Floats = np.where(top >= -low, top, low)
        return Grid(stored(np.divide(far, np.float32(-MIDDLE)), kind), None)
    top, low = np.maximum(top, 0), np.minimum(low, 0)
    with np.errstate(over="ignore", invalid="ignore"):
        scale = stored((top - low) / np.float32(STEPS), kind)
        return Grid(scale, np.clip(np.rint(-low / scale), 0, STEPS))


def _ends(pick: np.ufunc, values: Floats, axis: int) -> Floats:
    """`pick` over blocks along `axis`, which stays, 1 long."""
    if axis == 0:
        found: Floats = pick.reduce(values, axis=0, keepdims=True)
        return found
    # Along short rows a plain reduction takes twice as long.
    starts = np.arange(0, values.size, values.shape[1])
    found = pick.reduceat(values.reshape(-1), starts)[:, None]
    return found


def stored(scale: Floats, kind: np.dtype[Any]) -> Floats:
    """Scales as they are read again from their type, and 1 for those too small to divide by."""
    with np.errstate(over="ignore"):
        found: Floats = scale.astype(kind).astype(np.float32)
    found[np.abs(found) < FAINT] = 1
    return found
