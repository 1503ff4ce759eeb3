"""What the server tells of its last seconds, for whoever decides whether it does well: `GET /v1/vitals`."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from statistics import fmean, pstdev

# Seconds that are kept, and what is told of without being asked for another span.
LONGEST, USUAL = 60, 10
# Fewer requests say nothing about how much their times vary.
ENOUGH = 10


@dataclass
class _Second:
    """One second: the times of what was answered in it, and waiting requests times seconds."""

    number: int
    latencies: list[float] = field(default_factory=list)
    waited: float = 0.0


class Vitals:
    """Counts by second, so that its memory is bounded by a minute's requests. Not for two threads at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.out_of_memory = 0
        self._clock = clock
        self._began = self._reckoned = clock()
        self._waiting = 0
        self._seconds: deque[_Second] = deque(maxlen=LONGEST + 2)

    def answered(self, seconds: float) -> None:
        """A request was answered well; it took so long, its waiting included."""
        self._reckon()
        self._second(self._clock()).latencies.append(seconds)

    def waits(self, requests: int) -> None:
        """From now on so many requests wait."""
        self._reckon()
        self._waiting = requests

    def read(self, seconds: int = USUAL) -> dict[str, float]:
        """Of the last `seconds`: means of the requests that waited and were answered, their times in milliseconds with
        the 95th percentile, and by how much percent of the mean they vary. What is not known is absent.
        """
        self._reckon()
        now = self._clock()
        # Whole seconds, and the one that has begun.
        first = int(now) - max(1, min(seconds, LONGEST))
        span = max(now - max(float(first), self._began), 0.001)
        last = [one for one in self._seconds if one.number >= first]
        latencies = sorted(value for one in last for value in one.latencies)
        found: dict[str, float] = {
            "interval_s": round(span, 3),
            "requests_waiting": round(sum(one.waited for one in last) / span, 3),
            "requests_per_s": round(len(latencies) / span, 3),
            "out_of_memory": self.out_of_memory,
        }
        if latencies:
            mean = fmean(latencies)
            found["latency_ms"] = round(mean * 1000, 3)
            found["latency_p95_ms"] = round(latencies[ceil(0.95 * len(latencies)) - 1] * 1000, 3)
            if len(latencies) >= ENOUGH and mean > 0:
                found["latency_spread_percent"] = round(100 * pstdev(latencies, mean) / mean, 2)
        return found

    def _reckon(self) -> None:
        """Give the requests that wait to the seconds since it was done last."""
        now = self._clock()
        while self._waiting and self._reckoned < now:
            until = min(now, float(int(self._reckoned) + 1))
            self._second(self._reckoned).waited += self._waiting * (until - self._reckoned)
            self._reckoned = until
        self._reckoned = now

    def _second(self, at: float) -> _Second:
        if not self._seconds or self._seconds[-1].number < int(at):
            self._seconds.append(_Second(int(at)))
        return self._seconds[-1]
