"""Child processes that die with their parent and are started again when they die alone."""

from __future__ import annotations

import logging
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from hardware.processes import die_with_parent

log = logging.getLogger(__name__)

GRACE_SECONDS = 15


@dataclass
class Child:
    """One process. After a death it waits ``pause`` seconds, twice as long each time, up to 30 s."""

    name: str
    command: list[str]
    # Where its output goes; to the supervisor's own when there is none.
    log_file: Path | None = None
    process: subprocess.Popen[bytes] | None = None
    pause: float = 0.5
    next_start: float = 0
    born: float = field(default=0)

    def tend(self) -> None:
        """Start it if it does not run and its pause is over."""
        now = time.monotonic()
        if self.process is not None:
            status = self.process.poll()
            if status is None:
                return
            self.process = None
            self.pause = 0.5 if now - self.born > 60 else min(self.pause * 2, 30)
            self.next_start = now + self.pause
            log.warning("%s ended with status %s; it is started again in %.1f s", self.name, status, self.pause)
        if now >= self.next_start:
            self.born = now
            # A session of its own: Ctrl-C reaches the supervisor alone, which then stops them in order.
            with self.log_file.open("ab") if self.log_file else nullcontext() as output:
                self.process = subprocess.Popen(
                    self.command, stdout=output, stderr=output, preexec_fn=die_with_parent, start_new_session=True
                )

    def ask_to_end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def wait_for_end(self) -> None:
        """Wait for the grace, then kill."""
        if self.process is None:
            return
        try:
            self.process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def stop(children: Sequence[Child]) -> None:
    """End them side by side."""
    for child in children:
        child.ask_to_end()
    for child in children:
        child.wait_for_end()


def watch(
    ground: list[Child], children: list[Child], finished: Callable[[], bool], stopping_now: Callable[[], None]
) -> None:
    """Tend them all until TERM, Ctrl-C or ``finished()``; the ``ground`` that the others stand on is stopped last.

    ``stopping_now()`` is called before the first one is stopped.
    """
    stopping = False

    def end(*_: object) -> None:
        nonlocal stopping
        stopping = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    try:
        while not stopping and not finished():
            for child in (*ground, *children):
                child.tend()
            time.sleep(0.2)
    finally:
        stopping_now()
        stop(children)
        stop(ground)
