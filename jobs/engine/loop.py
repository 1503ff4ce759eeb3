"""The one event loop of a worker process: thousands of jobs can wait in it without a thread each."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Sequence
from functools import lru_cache
from uuid import uuid4

from hardware.ssh.background import Background
from jobs.engine.leases import give_up_leases
from jobs.engine.runner import Runner
from jobs.logs import packing

log = logging.getLogger(__name__)
_making = threading.Lock()
OWNER = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"


class WorkLoop:
    """What drives the jobs of this process; they all share one SSH pool."""

    def __init__(self) -> None:
        self.background = Background("jobs")
        self.active: set[int] = set()
        # An event loop itself keeps no task from being collected.
        self.tasks: set[asyncio.Task[None]] = set()
        self.runner = Runner(self.background.pool, OWNER)

    def submit(self, job_ids: Sequence[int]) -> None:
        self.background.loop.call_soon_threadsafe(self._begin, job_ids)

    def _begin(self, job_ids: Sequence[int]) -> None:
        for job_id in job_ids:
            task = self.background.loop.create_task(self._run(job_id))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

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


def submit(job_ids: Sequence[int]) -> None:
    """Hand jobs to this process's loop and return."""
    # Several threads may take the first jobs at once: they must not make a loop each.
    with _making:
        loop = _loop()
    loop.submit(job_ids)


def leave() -> None:
    """Stop working and let go of every job, so that the next worker need not wait until the leases run out."""
    packing.leave()
    if _loop.cache_info().currsize:
        _loop().background.stop()
        give_up_leases(OWNER)
