"""The one event loop of a worker process: thousands of jobs can wait in it without a thread each."""

from __future__ import annotations

import logging
import os
import socket
import threading
from functools import lru_cache
from uuid import uuid4

from hardware.ssh.background import Background
from jobs.leases import give_up_leases
from jobs.runner import Runner

log = logging.getLogger(__name__)
_making = threading.Lock()
OWNER = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"


class WorkLoop:
    """What drives the jobs of this process; they all share one SSH pool."""

    def __init__(self) -> None:
        self.background = Background("jobs")
        self.active: set[int] = set()
        self.runner = Runner(self.background.pool, OWNER)

    def submit(self, job_id: int) -> None:
        self.background.submit(self._run(job_id))

    async def _run(self, job_id: int) -> None:
        # The same wake-up twice in one process: the first one has it.
        if job_id in self.active:
            return
        self.active.add(job_id)
        try:
            await self.runner.run(job_id)
        except Exception:
            # The job keeps its lease until it runs out; then the reconciler hands it on.
            log.exception("job %s: the worker could not go on", job_id)
        finally:
            self.active.discard(job_id)


@lru_cache(maxsize=1)
def _loop() -> WorkLoop:
    return WorkLoop()


def submit(job_id: int) -> None:
    """Hand a job to this process's loop and return."""
    # Several threads may take the first jobs at once: they must not make a loop each.
    with _making:
        loop = _loop()
    loop.submit(job_id)


def leave() -> None:
    """Stop working and let go of every job, so that the next worker need not wait until the leases run out."""
    if _loop.cache_info().currsize:
        _loop().background.stop()
        give_up_leases(OWNER)
