"""Comparing the version strings of drivers, firmware and CANN (``24.1.0``, ``23.0.rc3``, ``7.5.0.2.220``)."""

from __future__ import annotations

import re


def key(version: str) -> tuple[tuple[int, int], ...]:
    """A sort key: a release candidate comes before the release of the same number."""
    parts: list[tuple[int, int]] = []
    for part in re.findall(r"rc\d*|\d+", version.lower()):
        parts.append((-1, int(part[2:] or 0)) if part.startswith("rc") else (int(part), 0))
    while parts and parts[-1] == (0, 0):
        parts.pop()
    return tuple(parts)


def within(version: str, low: str, high: str) -> bool:
    """Whether ``version`` lies from ``low`` to ``high``.

    A bound of n parts speaks of the first n parts only, so 7.1.0.11.220 is within [7.0.0, 7.1.99] and 7.1.99.5 too.
    """
    ceiling = key(high)
    return key(low) <= key(version) and key(version)[: len(ceiling)] <= ceiling
