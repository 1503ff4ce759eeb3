"""A short look at machines: who holds which NPU now. Nothing is stored."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from hardware.inventory.facts import LOOK, Container, Holder, read_held
from hardware.ssh.command import execute
from hardware.ssh.endpoint import Endpoint
from hardware.ssh.errors import SSHFailure
from hardware.ssh.pool import Pool

log = logging.getLogger(__name__)

LOOKS_AT_ONCE = 50


@dataclass(frozen=True)
class Held:
    containers: tuple[Container, ...]
    holders: tuple[Holder, ...]


async def look(pool: Pool, endpoints: Mapping[str, Endpoint], seconds: float) -> dict[str, Held]:
    """By machine, within ``seconds`` for all of them; one that did not answer in that time is not there."""
    turn = asyncio.Semaphore(LOOKS_AT_ONCE)
    found: dict[str, Held] = {}

    async def one(name: str, endpoint: Endpoint) -> None:
        async with turn:
            try:
                said = (await execute(pool, endpoint, LOOK, timeout=seconds)).stdout
                found[name] = Held(*read_held(said))
            except (SSHFailure, ValueError) as wrong:
                log.info("a look at who holds the NPUs came to nothing: %s", wrong)

    tasks = [asyncio.create_task(one(name, endpoint)) for name, endpoint in endpoints.items()]
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
    return found
