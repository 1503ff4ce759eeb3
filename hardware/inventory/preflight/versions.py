"""Comparing the version strings of drivers, firmware and CANN (``24.1.0``, ``23.0.rc3``, ``7.5.0.2.220``)."""

from __future__ import annotations

import re
from functools import lru_cache

# Versions have two to five parts; what is not said counts as 0.
_WIDTH = 8
# What comes before the release of the same number: test builds, then candidates.
_BEFORE = {"t": -4, "alpha": -3, "beta": -2, "rc": -1}
_PART = re.compile(r"(rc|alpha|beta|(?<![a-z])t(?=\d))?(\d*)")

Part = tuple[int, int]


@lru_cache(8192)
def key(version: str) -> tuple[Part, ...]:
    """A sort key: a release candidate comes before the release of the same number, and 24.1 is 24.1.0."""
    parts = _parts(version)
    return (*parts, *[(0, 0)] * (_WIDTH - len(parts)))


@lru_cache(8192)
def within(version: str, low: str, high: str) -> bool:
    """Whether ``version`` lies from ``low`` to ``high``.

    A bound of n parts speaks of the first n parts only, so 7.1.0.11.220 is within [7.0.0, 7.1.99] and 7.1.99.5 too.
    An upper bound that ends with a dot means the whole line that it names: 25.0.rc1.1 is within [25.0, 25.0.], 23.0.7
    within [23.0.0, 23.0.0.], and 23.0.rc3.2 within [23.0.rc3, 23.0.rc3.].
    """
    floor, ceiling, said = _parts(low), _parts(high), key(version)
    if high.rstrip().endswith("."):
        while len(ceiling) > 2 and ceiling[-1] == (0, 0):
            ceiling.pop()
    return said[: len(floor)] >= tuple(floor) and said[: len(ceiling)] <= tuple(ceiling)


def _parts(version: str) -> list[Part]:
    found = [(word, int(number[:9] or 0)) for word, number in _PART.findall(version.lower()) if word or number]
    return [(_BEFORE[word], number) if word else (number, 0) for word, number in found]
