"""The collector: one process, one event loop, one SSH channel a machine.

Each machine has a watch, a task of its own: a machine that hangs holds nobody up. What the watches read is gathered,
and written and announced together.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress

from django.db import Error

from hardware.database import on_db
from hardware.events import announce
from hardware.inventory.models import Machine
from hardware.ssh.errors import HostKeyChanged, LinkLost, SSHFailure
from hardware.ssh.hostkeys import read_host_key
from hardware.ssh.pool import Pool
from hardware.telemetry import contact
from hardware.telemetry.contact import Address
from hardware.telemetry.samples import Recorder, Sample
from hardware.telemetry.session import TOOL_SECONDS, Session

log = logging.getLogger(__name__)

DISCOVER_SECONDS = 2.0
FLUSH_SECONDS = 0.25
FLEET_SECONDS = 1.0
# How soon a machine is asked again that has no driver, whose npu-smi hangs, or that does not answer.
NO_DRIVER_SECONDS = 6.0
STUCK_SECONDS = 60.0
LONGEST_PAUSE = 15.0
# Logins at once: enough to start a large fleet quickly, few enough for one core.
LOGINS = 100


class Watch:
    """Samples one machine in a task of its own, until that is cancelled."""

    def __init__(
        self, pool: Pool, address: Address, interval: float, tool_seconds: float, logins: asyncio.Semaphore,
        deliver: Callable[[Sample], None],
    ) -> None:  # fmt: skip
        self.pool = pool
        self.address = address
        self.interval = interval
        self.tool_seconds = tool_seconds
        self.logins = logins
        self.deliver = deliver
        self.answering = False
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        # Spread over the interval: a fleet that is asked in step loads the network and us in bursts.
        await asyncio.sleep(random.uniform(0, self.interval))
        pause = self.interval
        while True:
            try:
                await self._session()
                pause = STUCK_SECONDS
            except Machine.DoesNotExist:
                return
            except HostKeyChanged as wrong:
                with suppress(SSHFailure):
                    offered = await read_host_key(self.address.name, self.address.host, self.address.port)
                    await on_db(contact.blocked, self.address.machine_id, wrong, offered)
                    return
            except SSHFailure as wrong:
                if self.answering and isinstance(wrong, LinkLost):
                    # A link can be cut without the machine being gone: the next attempt tells.
                    pause = 0.1
                else:
                    await self._silent(wrong)
                    pause = self.interval if self.answering else min(pause * 2, LONGEST_PAUSE)
                self.answering = False
            except Error as wrong:
                log.warning("%s: the database is away (%s)", self.address.name, wrong)
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))

    def over(self) -> bool:
        """Whether it has ended by itself; a fault that nobody foresaw is logged."""
        if self.task.done() and not self.task.cancelled() and (wrong := self.task.exception()):
            log.error("%s: its watch ended", self.address.name, exc_info=wrong)
        return self.task.done()

    async def _session(self) -> None:
        """Sample over one channel; returns when ``npu-smi`` hangs."""
        endpoint = await on_db(contact.endpoint, self.address.machine_id)
        session = Session(self.pool, endpoint, self.interval * 2, self.tool_seconds)
        try:
            async with self.logins:
                await session.open()
            while True:
                began = asyncio.get_running_loop().time()
                sample = await session.sample()
                if not self.answering:
                    await on_db(contact.answered, self.address.machine_id)
                    self.answering = True
                self.deliver(sample)
                if sample.state == "stuck":
                    return
                every = max(self.interval, NO_DRIVER_SECONDS) if sample.state == "no-driver" else self.interval
                await asyncio.sleep(max(0, began + every - asyncio.get_running_loop().time()))
        finally:
            session.close()

    async def _silent(self, wrong: SSHFailure) -> None:
        await on_db(contact.failed, self.address.machine_id, wrong)
        log.debug("%s", wrong)


class Collector:
    """Watches every machine that may be logged in to. ``interval`` in seconds."""

    def __init__(self, interval: float = 2, tool_seconds: float = TOOL_SECONDS) -> None:
        self.interval = interval
        self.tool_seconds = tool_seconds
        self.watches: dict[Address, Watch] = {}
        self._fresh: list[Sample] = []

    async def run(self) -> None:
        """Until it is cancelled."""
        pool = Pool(keepalive=max(self.interval, 2), connect_timeout=max(4, self.interval * 2))
        recorder = Recorder(self.interval)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._discover(pool))
                tasks.create_task(self._flush(recorder))
        finally:
            tasks_left = [watch.task for watch in self.watches.values()]
            for task in tasks_left:
                task.cancel()
            await asyncio.gather(*tasks_left, return_exceptions=True)
            await pool.close()
            await recorder.close()

    async def _discover(self, pool: Pool) -> None:
        """Start a watch for what is new or changed, and for what ended unforeseen; end those of the others."""
        logins = asyncio.Semaphore(LOGINS)
        while True:
            try:
                wanted = await on_db(contact.watched)
                for address, silent in wanted.items():
                    # Somebody else, a probe perhaps, got no answer meanwhile; we do.
                    if silent and address in self.watches and self.watches[address].answering:
                        await on_db(contact.answered, address.machine_id)
            except Error as wrong:
                log.warning("the machines can't be read (%s); those that are known are watched on", wrong)
                wanted = dict.fromkeys(self.watches, False)
            for address in self.watches.keys() - wanted.keys():
                self.watches.pop(address).task.cancel()
            for address in wanted:
                known = self.watches.get(address)
                if known is None or known.over():
                    self.watches[address] = Watch(
                        pool, address, self.interval, self.tool_seconds, logins, self._fresh.append
                    )
            await asyncio.sleep(DISCOVER_SECONDS)

    async def _flush(self, recorder: Recorder) -> None:
        """Write what was read, and tell those who look: each machine's page at once, the fleet's once a second."""
        fleet: dict[str, Sample] = {}
        told = 0.0
        loop = asyncio.get_running_loop()
        while True:
            samples, self._fresh[:] = list(self._fresh), []
            await recorder.record(samples, len(self.watches))
            for sample in samples:
                announce(f"telemetry:{sample.machine}", "samples", **sample.frame(), interval_s=self.interval)
                fleet[sample.machine] = sample
            if fleet and loop.time() - told >= FLEET_SECONDS:
                told = loop.time()
                at = max(fleet.values(), key=lambda sample: sample.at).frame()["at"]
                announce("fleet", "telemetry", at=at, machines={name: _brief(one) for name, one in fleet.items()})
                fleet.clear()
            await asyncio.sleep(FLUSH_SECONDS)


def _brief(sample: Sample) -> dict[str, object]:
    """What the heat map needs."""
    keys = ("npu_id", "chip_id", "aicore_percent", "temp_c", "health")
    return {"state": sample.state, "chips": [{key: chip[key] for key in keys} for chip in sample.chips]}
