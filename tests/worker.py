"""What a worker does with a job, in the test's own process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from hardware.inventory.models import Machine
from hardware.inventory.services import probe
from hardware.ssh.pool import Pool
from jobs.engine.runner import Runner
from jobs.logs.reading import whole
from jobs.models import Job

T = TypeVar("T")


def with_pool(call: Callable[[Pool], Awaitable[T]]) -> T:
    """Wait for ``call(pool)`` with a pool of its own."""

    async def go() -> T:
        pool = Pool()
        try:
            return await call(pool)
        finally:
            await pool.close()

    return asyncio.run(go())


def took(job: Job, owner: str = "worker") -> bool:
    """Whether the job could be taken; then it has been carried out."""
    done = with_pool(lambda pool: Runner(pool, owner).run(job.pk))
    job.refresh_from_db()
    return done


def work(job: Job) -> Job:
    """The job after a worker has carried it out."""
    took(job)
    return job


def read_facts(machine: Machine) -> Machine:
    """The machine after a probe."""
    with_pool(lambda pool: probe(pool, machine))
    machine.refresh_from_db()
    return machine


def log_of(job: Job) -> bytes:
    return b"".join(piece.data for piece in whole(job.pk))
