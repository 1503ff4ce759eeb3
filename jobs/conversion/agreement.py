"""Whether two sets of values are the same but for rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Relative to the largest value; float32 in another order of operations stays well below.
TOLERANCE, HALF_TOLERANCE = 1e-4, 1e-2


class Disagreement(Exception):
    """In which way they differ, in words that follow "output x"."""


def difference(old: NDArray[Any], new: NDArray[Any]) -> float:
    """The largest difference relative to the largest of the `old` values. Raises Disagreement."""
    if old.shape != new.shape or old.dtype != new.dtype:
        raise Disagreement(f"is {new.dtype}{list(new.shape)} and was {old.dtype}{list(old.shape)}")
    if not np.issubdtype(old.dtype, np.floating):
        if not np.array_equal(old, new):
            raise Disagreement("has other values")
        return 0.0
    if not old.size:
        return 0.0
    first, second = old.astype(np.float64), new.astype(np.float64)
    if not np.array_equal(np.isfinite(first), np.isfinite(second)):
        raise Disagreement("is infinite or no number elsewhere than before")
    finite = np.isfinite(first)
    largest = float(np.abs(first[finite]).max(initial=0.0)) or 1.0
    worst = float(np.abs(first[finite] - second[finite]).max(initial=0.0)) / largest
    if worst > (HALF_TOLERANCE if old.dtype == np.float16 else TOLERANCE):
        raise Disagreement(f"differs by {worst:.1e} of its largest value")
    return worst
