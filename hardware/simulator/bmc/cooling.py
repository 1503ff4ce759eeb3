"""Fans and heat of a simulated machine: what the chips and the BMC both reckon with.

A chip's heat above its idle temperature goes down as the fans turn faster than usual. In automatic mode the fans keep
their usual level until a chip is really hot: that policy looks after the hardware, not after latency. In manual mode
they keep the level that was set, until its time is over.
"""

from __future__ import annotations

import json
import math
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

FULL_RPM = 8000
LEAST, USUAL, MOST = 20, 35, 100
WARMING_SECONDS = 20.0
# From here to there the automatic policy goes from the usual level to the highest.
_HOT, _HOTTEST = 98.0, 110.0


@dataclass
class Fans:
    """``level`` in percent is of the manual mode, ``until`` (seconds since 1970) its end; 0: it has none."""

    mode: str = "Automatic"
    level: int = USUAL
    until: float = 0.0

    def now(self) -> Fans:
        """A manual mode whose time is over is automatic again."""
        over = self.mode == "Manual" and 0 < self.until <= time.time()
        return Fans() if over else self

    def percent(self, hottest: float, most: int = MOST) -> int:
        """The level at which they turn when the hottest chip is so hot."""
        if self.now().mode == "Manual":
            return self.level
        share = min(1.0, max(0.0, (hottest - _HOT) / (_HOTTEST - _HOT)))
        return round(USUAL + share * (most - USUAL))


def read(simulated: Path) -> Fans:
    """The fans of a machine; ``simulated`` is its folder of that name."""
    with suppress(OSError, ValueError, TypeError):
        return Fans(**json.loads((simulated / "fans").read_text())).now()
    return Fans()


def write(simulated: Path, fans: Fans) -> None:
    new = simulated / ".fans.new"
    new.write_text(json.dumps(asdict(fans)))
    new.chmod(0o644)
    new.replace(simulated / "fans")


def warmed(warm: float, heat: float, percent: int, seconds: float, pace: float = WARMING_SECONDS) -> float:
    """Degrees above idle after ``seconds``; ``heat`` is where they would go at the usual level of the fans."""
    target = heat * USUAL / max(percent, LEAST)
    return target + (warm - target) * math.exp(-seconds / pace)
