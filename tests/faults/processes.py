"""Worker processes that a test kills. Each is a fork of one process that has loaded the console already: to start one
costs some milliseconds, so that a fault can be repeated often."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import subprocess
from collections.abc import Callable
from functools import lru_cache
from multiprocessing.context import ForkServerContext
from multiprocessing.forkserver import ensure_running
from pathlib import Path
from typing import Any, ClassVar

from django.conf import settings

from hardware.ssh.pool import Pool
from jobs.engine.runner import Runner
from jobs.models import Job
from tests.faults import worker

SETTINGS = "tests.faults.same_database"


class Process:
    """A process by its pid, as the tests hurt it: the calls are those of ``subprocess.Popen``."""

    _begun: ClassVar[list[Process]] = []

    def __init__(self, target: Callable[..., None], *arguments: Any) -> None:
        # A daemon: ends with the tests, whatever becomes of them.
        self._process = _forks().Process(target=target, args=arguments, daemon=True)
        self._process.start()
        self._begun.append(self)
        assert self._process.pid is not None
        self.pid = self._process.pid

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Killed at once, and gone when this returns."""
        self._process.kill()
        self.wait()

    @classmethod
    def kill_all(cls) -> None:
        """Those that a failed test has left behind: one that was stopped could hold the database for good."""
        while cls._begun:
            cls._begun.pop().kill()

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, seconds: float = 120) -> int:
        """The exit status; negative for one that a signal ended."""
        self._process.join(seconds)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", seconds)
        return self._process.exitcode


@lru_cache(maxsize=1)
def _forks() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.faults.preloaded"])
    before = os.environ.get("DJANGO_SETTINGS_MODULE", "")
    os.environ["DJANGO_SETTINGS_MODULE"] = SETTINGS
    try:
        ensure_running()
    finally:
        os.environ["DJANGO_SETTINGS_MODULE"] = before
    return context


def start_worker(
    job: Job, kind: str = "tests.command_kind:Command", said: Path | None = None, **given: object
) -> Process:
    """A worker that takes this job alone. ``said`` gets what it writes to stderr; ``given`` are settings of its own."""
    own = {"LEASE_SECONDS": settings.LEASE_SECONDS, "DEPOT_DIR": str(settings.DEPOT_DIR), **given}
    return Process(worker.main, job.pk, kind, str(said) if said else None, own)


def take_over(job: Job) -> None:
    """Carry the job out in this process, as soon as it may be taken."""

    async def go() -> None:
        pool = Pool()
        while not await Runner(pool, "successor").run(job.pk):
            await asyncio.sleep(0.2)
        await pool.close()

    asyncio.run(asyncio.wait_for(go(), 120))
    job.refresh_from_db()
