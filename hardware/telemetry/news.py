"""What the collector tells those who look: a machine's page each of its samples, the heat map what has changed.

Ten messages a second at most for the fleet, whatever its size, and none at all while nobody looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Any

from hardware.events import announce
from hardware.telemetry.samples import FLEET, Sample

FLEET_SECONDS = 0.1
# A message can be lost: so often each machine is told again.
AGAIN_SECONDS = 10.0
BRIEF = ("npu_id", "chip_id", "aicore_percent", "temp_c", "health")


class News:
    def __init__(self, interval: float) -> None:
        self.interval = interval
        self._waiting: dict[str, dict[str, Any]] = {}
        self._said: dict[str, tuple[dict[str, Any], float]] = {}
        self._told_at = 0.0
        self._at = ""

    def tell(self, samples: Iterable[Sample], looked: Set[str], now: float) -> None:
        """``looked`` are the names of machines that somebody looks at; ``now`` is the loop's time."""
        if not looked:
            self._waiting.clear()
            self._said.clear()
            return
        for sample in samples:
            if sample.machine in looked:
                frame = {**sample.frame(), "interval_s": sample.every or self.interval}
                announce(f"telemetry:{sample.machine}", "samples", **frame)
            if FLEET in looked:
                self._note(sample, now)
        if self._waiting and now - self._told_at >= FLEET_SECONDS:
            self._told_at = now
            machines, self._waiting = self._waiting, {}
            announce("fleet", "telemetry", at=self._at, machines=machines)

    def _note(self, sample: Sample, now: float) -> None:
        brief = {"state": sample.state, "chips": [{key: chip[key] for key in BRIEF} for chip in sample.chips]}
        said = self._said.get(sample.machine)
        if said is None or said[0] != brief or now - said[1] > AGAIN_SECONDS:
            self._said[sample.machine] = (brief, now)
            self._waiting[sample.machine] = brief
            self._at = sample.frame()["at"]
