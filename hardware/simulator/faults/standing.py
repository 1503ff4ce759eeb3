"""The faults that a machine has now; read by its stand-ins at each call, so it imports next to nothing."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

FOLDER = "faults.d"


@dataclass(frozen=True)
class Standing:
    """A fault that is set. ``words`` are its value's; ``since`` in seconds since 1970."""

    kind: str
    words: tuple[str, ...]
    since: float

    @property
    def value(self) -> str:
        return " ".join(self.words)

    @property
    def npu(self) -> int:
        """Which NPU is meant, for a kind whose value begins with one."""
        return int(self.words[0])

    @property
    def seconds(self) -> float:
        """How long it has been so."""
        return max(0.0, time.time() - self.since)


def standing(simulated: Path) -> dict[str, Standing]:
    """Kind -> fault; ``simulated`` is the machine's folder of that name, from the host or from within."""
    found = {}
    with suppress(OSError):
        for path in sorted((simulated / FOLDER).iterdir()):
            # One that is just being cleared is no longer so.
            with suppress(OSError):
                if not path.name.startswith("."):
                    found[path.name] = Standing(path.name, tuple(path.read_text().split()), path.stat().st_mtime)
    return found
