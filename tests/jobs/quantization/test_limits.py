"""What is remembered of a tensor's values, and where its range ends."""

from __future__ import annotations

import numpy as np
import pytest

from jobs.quantization.calibration.limits import METHODS, limits
from jobs.quantization.calibration.observer import BINS, Observer
from jobs.quantization.calibration.ranges import Range


def seen(*parts: np.ndarray) -> Observer:
    observer = Observer(counting=True)
    for part in parts:
        observer.add(part)
    return observer


def normal(count: int = 200_000) -> np.ndarray:
    return np.random.default_rng(3).standard_normal(count).astype(np.float32)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_no_value_is_lost_while_the_histogram_reaches_further(kind):
    parts = [normal(1000).astype(kind) * size for size in (0, 1e-4, 3, 0.5, 1000)]
    observer = seen(*parts, np.zeros((3, 0), kind))
    whole = np.concatenate(parts)
    assert (observer.low, observer.high) == (whole.min(), whole.max())
    assert observer.count == observer.zeros + observer.bins.sum() == whole.size
    assert observer.zeros == (whole.astype(np.float32) == 0).sum() >= 1000
    # At least half of one side is in use, and each value lies in its bin.
    assert observer.reach / 2 < np.abs(whole).max() <= observer.reach
    found, _ = np.histogram(whole[whole != 0], observer.edges)
    assert np.abs(np.cumsum(found - observer.bins)).max() <= 2


def test_a_percentile_is_that_of_all_values_to_a_bin():
    for values in (normal(), np.maximum(normal(), 0), normal() + 5):
        observer = seen(*np.array_split(values, 7))
        low, high = limits(observer, "percentile", 99.0)
        wanted = np.percentile(values, [0.5, 99.5])
        assert np.abs(np.array([low, high]) - wanted).max() < 2 * observer.reach / BINS
        assert limits(observer, "percentile", 100.0) == limits(observer, "minmax", 99.0)


def test_entropy_cuts_an_outlier_off_and_nothing_of_an_even_distribution():
    even = np.random.default_rng(1).uniform(-1, 3, 200_000).astype(np.float32)
    low, high = limits(seen(even), "entropy", 99.99)
    assert low == even.min() and high > 2.9
    _, high = limits(seen(np.maximum(normal(), 0), np.float32([60])), "entropy", 99.99)
    assert 3 < high < 12
    # Few values say little about a distribution: none of them is cut off.
    few = normal(500)
    assert limits(seen(few), "entropy", 99.99) == (few.min(), few.max())


@pytest.mark.parametrize("method", METHODS)
def test_what_is_always_zero_has_a_range_too(method):
    low, high = limits(seen(np.zeros(100, np.float32)), method, 99.99)
    assert (low, high) == (0, 0)
    zero = Range(low, high, low, high, 2)
    assert (zero.scale, zero.zero_point) == (1, 0)


def test_nothing_more_is_remembered_after_a_value_that_is_not_finite():
    for strange in (np.nan, np.inf, -np.inf):
        observer = seen(np.float32([1, 2]), np.float32([0, strange]), np.float32([9]))
        assert not observer.finite and observer.high == 2


def test_zero_is_a_step_of_its_own_in_every_range():
    for low, high in ((-1.0, 3.0), (0.0, 6.0), (-5.0, 0.0), (-0.3, 0.7), (-1e-30, 1e30)):
        span = Range(low, high, low, high, 2)
        steps = np.rint(np.float64([low, 0, high]) / span.scale) + span.zero_point
        assert steps[1] == span.zero_point and steps.min() >= -1 and steps.max() <= 256
