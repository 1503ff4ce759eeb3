"""What the collector hands its samples to: rollups that make rows of them, and a judge that holds rules against those.

Both run in the collector's process and loop, so each collector rolls up and judges the machines that it samples.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from hardware.telemetry.samples import Sample


class Rollups(Protocol):
    def watch(self, machines: Mapping[str, int]) -> None:
        """The machines of this collector from now on, name -> id: those without a sample are told of as silent."""

    def add(self, sample: Sample) -> None:
        """Take a sample in. Called a thousand times a second: no I/O here."""

    async def close_periods(self, now: float) -> list[Any]:
        """Store the periods that are over at ``now`` (seconds since 1970), and return them."""


# Called with what ``close_periods`` gave, when that was not nothing.
Judge = Callable[[list[Any]], Awaitable[None]]
