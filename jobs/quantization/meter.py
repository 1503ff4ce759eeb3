"""How far a quantization is: bytes, rate, and when it will be done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

# A line of progress at most this often, in seconds.
PACE = 1.0


class Meter:
    """Counts bytes from several threads and tells a share between `start` and `end`."""

    def __init__(self, total: int, tell: Callable[[float, str], None], start: float, end: float) -> None:
        self._total = max(total, 1)
        self._tell = tell
        self._start, self._span = start, end - start
        self._began = self._last = time.monotonic()
        self._done = 0
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        """Counts bytes that are done."""
        with self._lock:
            self._done += count
            now = time.monotonic()
            if now - self._last < PACE:
                return
            self._last = now
            rate = self._done / (now - self._began)
            share = self._done / self._total
            rest = (self._total - self._done) / rate
            line = (
                f"{self._done >> 20} of {self._total >> 20} MiB, {rate / 1e9:.2f} GB/s, "
                f"{rest:.0f} s left, done at {time.strftime('%H:%M:%S', time.localtime(time.time() + rest))}"
            )
            self._tell(self._start + self._span * share, line)

    def say(self, line: str) -> None:
        """Tells a line without further bytes."""
        self._tell(self._start + self._span * self._done / self._total, line)
