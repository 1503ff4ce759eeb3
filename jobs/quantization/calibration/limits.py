"""Where a tensor's range ends: at what was seen, or nearer, so that the many values get finer steps.

`minmax` takes what was seen. `percentile` cuts off the same small share of the values at both ends. `entropy` takes the
limit at which the distribution of the rounded values is nearest to that of the values (Kullback-Leibler divergence), as
TensorRT and ONNX Runtime do it; what lies beyond the limit counts at the limit.
"""

from __future__ import annotations

import numpy as np

from jobs.quantization.calibration.observer import BINS, Counts, Observer

METHODS = ("minmax", "percentile", "entropy")
# Steps of an uint8.
LEVELS = 256
# How many limits `entropy` tries, and the nearest of them as a share of the largest value.
TRIED, NEAREST = 128, 1 / 16
# A bin that holds rounded values is never empty; one that should and does not is counted as this much of a value.
ALMOST_NONE = 1e-4
# Values for each bin, on average: with fewer, chance would speak for a near limit. Never fewer bins than levels.
FILLED = 32


def limits(observer: Observer, method: str, percentile: float) -> tuple[float, float]:
    """The lower and the upper end by one of `METHODS`; `percentile` is the share that is kept, in per cent.

    The observer saw at least one value and only finite ones.
    """
    if method == "percentile":
        return _percentile(observer, percentile)
    if method == "entropy":
        return _entropy(observer)
    return observer.low, observer.high


def _percentile(observer: Observer, percentile: float) -> tuple[float, float]:
    counts = observer.bins.copy()
    counts[BINS] += observer.zeros
    reached = np.cumsum(counts)
    beyond = (100 - percentile) / 200 * observer.count
    first = int(np.searchsorted(reached, beyond, side="right"))
    last = int(np.searchsorted(reached, observer.count - beyond, side="left"))
    edges = observer.edges
    low, high = edges[min(first, 2 * BINS - 1)], edges[min(last, 2 * BINS - 1) + 1]
    return max(observer.low, float(low)), min(observer.high, float(high))


def _entropy(observer: Observer) -> tuple[float, float]:
    counts = observer.bins
    while counts.size > LEVELS and counts.sum() < FILLED * np.count_nonzero(counts):
        counts = counts.reshape(-1, 2).sum(axis=1)
    used = np.flatnonzero(counts)
    if not used.size:
        return observer.low, observer.high
    first, last, middle = int(used[0]), int(used[-1]) + 1, counts.size // 2
    farthest = max(middle - first, last - middle)
    tried = np.unique(np.linspace(max(farthest * NEAREST, 1), farthest, TRIED).astype(np.int64))
    # Of equally good ones the widest: nothing is cut off without a gain.
    best = min(reversed(tried.tolist()), key=lambda bins: _divergence(counts, first, last, bins))
    end = observer.reach * best / middle
    return max(observer.low, -end), min(observer.high, end)


def _divergence(counts: Counts, first: int, last: int, bins: int) -> float:
    """How far the rounded values' distribution is from the values' when they end `bins` bins from 0."""
    middle = counts.size // 2
    start, stop = max(first, middle - bins), min(last, middle + bins)
    if stop <= start:
        return np.inf
    inside = counts[start:stop].astype(np.float64)
    whole = inside.copy()
    whole[0] += counts[first:start].sum()
    whole[-1] += counts[stop:last].sum()
    # The range holds 0, and its steps are spread over all of it.
    low, high = min(start, middle), max(stop, middle)
    step = max((high - low) / LEVELS, 1.0)
    levels = ((np.arange(start, stop) - low) / step).astype(np.int64)
    filled = inside > 0
    sums = np.bincount(levels, weights=inside)
    shares = np.bincount(levels, weights=filled)
    rounded = np.where(filled, (sums / np.maximum(shares, 1))[levels], 0.0)
    rounded = np.where((rounded == 0) & (whole > 0), ALMOST_NONE, rounded)
    there = whole > 0
    p, q = whole[there] / whole.sum(), rounded[there] / rounded.sum()
    return float(np.sum(p * np.log(p / q)))
