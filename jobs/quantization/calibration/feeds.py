"""Feeds that are read when they are asked for, so that a thousand pictures are never in memory all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import overload

from jobs.quantization.samples import Feed

# Bytes of feeds that stay in memory: a pass over the samples is made more than once.
KEPT = 192 * 1024 * 1024


class Feeds(Sequence[Feed]):
    """A sequence of feeds out of parts, each read as a whole; the first parts stay in memory while there is room."""

    def __init__(self) -> None:
        self._reads: list[Callable[[], list[Feed]]] = []
        self._ends: list[int] = []
        self._kept: dict[int, list[Feed]] = {}
        self._room = KEPT
        self._last: tuple[int, list[Feed]] = (-1, [])

    def add(self, count: int, read: Callable[[], list[Feed]], known: list[Feed] | None = None) -> None:
        """Another part of `count` feeds; `known` when they have been read already."""
        self._reads.append(read)
        self._ends.append(len(self) + count)
        if known is not None:
            self._keep(len(self._reads) - 1, known)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, index: int) -> Feed: ...

    @overload
    def __getitem__(self, index: slice) -> list[Feed]: ...

    def __getitem__(self, index: int | slice) -> Feed | list[Feed]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        number = bisect_right(self._ends, index)
        first = self._ends[number - 1] if number else 0
        return self._part(number)[index - first]

    def _part(self, number: int) -> list[Feed]:
        if number in self._kept:
            return self._kept[number]
        if self._last[0] != number:
            self._last = (-1, [])
            read = self._reads[number]()
            self._last = (number, read)
            self._keep(number, read)
        return self._last[1]

    def _keep(self, number: int, feeds: list[Feed]) -> None:
        size = sum(value.nbytes for feed in feeds for value in feed.values())
        if size <= self._room:
            self._room -= size
            self._kept[number] = feeds
