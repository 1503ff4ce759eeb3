"""Where a job's time went: a bar for each machine, a piece for each step, drawn by the server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from jobs.pages import wording
from jobs.pages.steps import Step, clock
from jobs.states import StepState

WIDTH, LEFT, ROW = 350, 92, 24
# Rows drawn; of more machines those that took longest.
ROWS = 12
_FILLS = {
    StepState.SUCCEEDED: "s-ok",
    StepState.SKIPPED: "s-ok",
    StepState.RUNNING: "s-running",
    StepState.UNREACHABLE: "s-interrupted",
    StepState.INTERRUPTED: "s-interrupted",
    StepState.FAILED: "s-failed",
    StepState.ERRORED: "s-failed",
}


@dataclass
class Piece:
    x: str
    width: str
    fill: str
    label: str


@dataclass
class Bar:
    machine: str
    y: int
    pieces: list[Piece]
    total: str


@dataclass
class Timing:
    """In units of the picture: 350 wide, ``height`` high."""

    bars: list[Bar] = field(default_factory=list)
    ticks: list[tuple[str, str]] = field(default_factory=list)
    slowest: str = ""
    hidden: int = 0

    @property
    def floor(self) -> int:
        return len(self.bars) * ROW + 6

    @property
    def height(self) -> int:
        return self.floor + 22

    def __bool__(self) -> bool:
        return bool(self.bars)


def of(steps: Sequence[Step]) -> Timing:
    """The picture of the steps that have begun."""
    begun = [(step, step.started_at, step.ended_at or timezone.now()) for step in steps if step.started_at is not None]
    if not begun:
        return Timing()
    first = min(start for _step, start, _end in begun)
    span = max(max(end for _step, _start, end in begun) - first, timedelta(seconds=1))
    scale = (WIDTH - LEFT - 4) / span.total_seconds()

    def at(moment: datetime) -> float:
        return LEFT + (moment - first).total_seconds() * scale

    by_machine: dict[str, list[tuple[Step, datetime, datetime]]] = {}
    for step, start, end in begun:
        by_machine.setdefault(step.machine or _("Console"), []).append((step, start, end))
    took = {name: sum((end - start).total_seconds() for _step, start, end in mine) for name, mine in by_machine.items()}
    shown = list(by_machine)
    if len(shown) > ROWS:
        shown = sorted(shown, key=lambda name: -took[name])[:ROWS]
    bars = []
    for number, name in enumerate(shown):
        pieces = [
            Piece(
                f"{at(start):.1f}",
                f"{max(1.5, at(end) - at(start)):.1f}",
                _FILLS.get(StepState(step.state), "s-interrupted"),
                f"{wording.title(step.title)}: {clock(end - start)}",
            )
            for step, start, end in by_machine[name]
        ]
        bars.append(Bar(name, number * ROW + 6, pieces, clock(timedelta(seconds=took[name]))))
    step, start, end = max(begun, key=lambda one: one[2] - one[1])
    where = step.machine or _("Console")
    return Timing(
        bars,
        _ticks(span, scale),
        f"{wording.title(step.title)}, {where}: {clock(end - start)}",
        len(by_machine) - len(bars),
    )


def _ticks(span: timedelta, scale: float) -> list[tuple[str, str]]:
    """Three or four round times along the floor."""
    total = span.total_seconds()
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
    every = next((step for step in steps if total / step <= 4), 86400)
    return [
        (f"{LEFT + second * scale:.1f}", clock(timedelta(seconds=second))) for second in range(0, int(total) + 1, every)
    ]
