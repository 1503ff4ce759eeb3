"""What an observer of one tensor remembers: its extremes, and how often which size of value came.

One pass over the samples is enough. The histogram lies about 0 and has a fixed number of bins; when a value is beyond
its end, pairs of bins become one and it reaches twice as far. So at least half of the bins on one side are in use.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# On each side of 0.
BINS = 4096
# Where the histogram begins to grow: the reach is always this times a power of two.
SMALLEST_REACH = 2.0**-100
# Values that are put into bins at once.
AT_ONCE = 1 << 20

Counts = NDArray[np.int64]


class Observer:
    """Sees a tensor's values sample by sample. Without `counting` it remembers extremes only.

    `finite` turns false at the first NaN or infinity, from which on nothing more is remembered. `zeros` are the exact
    zeros among `count` values; they are in no bin. `rank` is the number of axes.
    """

    def __init__(self, *, counting: bool) -> None:
        self.low, self.high = np.inf, -np.inf
        self.finite = True
        self.count = self.zeros = self.rank = 0
        self.reach = SMALLEST_REACH
        self.bins: Counts = np.zeros(2 * BINS if counting else 0, np.int64)

    def add(self, values: NDArray[Any]) -> None:
        """Sees one sample's values, of any float type and shape."""
        if not values.size or not self.finite:
            return
        low, high = float(values.min()), float(values.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            self.finite = False
            return
        self.low, self.high = min(self.low, low), max(self.high, high)
        self.count += values.size
        self.rank = values.ndim
        if not self.bins.size:
            return
        while max(-low, high) > self.reach:
            self._reach_further()
        flat = values.reshape(-1)
        for first in range(0, flat.size, AT_ONCE):
            part = flat[first : first + AT_ONCE].astype(np.float32)
            part = part[part != 0]
            self.zeros += min(AT_ONCE, flat.size - first) - part.size
            places = np.floor(part * np.float32(BINS / self.reach)).astype(np.int64) + BINS
            np.clip(places, 0, 2 * BINS - 1, out=places)
            self.bins += np.bincount(places, minlength=2 * BINS)

    @property
    def edges(self) -> NDArray[np.float64]:
        """The limits of the bins, one more than there are bins."""
        return np.linspace(-self.reach, self.reach, 2 * BINS + 1)

    def _reach_further(self) -> None:
        pairs = self.bins.reshape(-1, 2).sum(axis=1)
        self.bins[:] = 0
        self.bins[BINS // 2 : BINS + BINS // 2] = pairs
        self.reach *= 2
