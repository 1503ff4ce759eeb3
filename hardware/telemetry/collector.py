"""The collector: one process, one event loop, one SSH channel a machine.

Each machine has a watch, a task of its own: a machine that hangs holds nobody up. What the watches read is gathered,
and written and announced together. Several collectors share the fleet out among themselves.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress

from django.db import Error

from hardware.database import on_db
from hardware.ssh.pool import Pool
from hardware.telemetry import contact, members
from hardware.telemetry.contact import Address, Standing
from hardware.telemetry.news import News
from hardware.telemetry.periods import Judge, Rollups
from hardware.telemetry.recorder import Recorder
from hardware.telemetry.samples import Sample
from hardware.telemetry.session import TOOL_SECONDS
from hardware.telemetry.shares import Shares
from hardware.telemetry.watch import Site, Source, Watch

log = logging.getLogger(__name__)

DISCOVER_SECONDS = 2.0
MEMBERS_SECONDS = 1.0
FLUSH_SECONDS = 0.1
# Even without a sample: the sign of life, and who looks.
IDLE_FLUSH_SECONDS = 1.0
CLOSE_SECONDS = 1.0
# A machine that another collector wins is sampled on until that one has a sample of it, for so long at most.
HANDOVER_SECONDS = 10.0


class Collector:
    """Watches the machines that may be logged in to and that it wins. Times in seconds."""

    def __init__(
        self,
        interval: float = 2,
        tool_seconds: float = TOOL_SECONDS,
        rollups: Rollups | None = None,
        judge: Judge | None = None,
        slow_seconds: float = 60,
        sources: Sequence[Source] = (),
    ) -> None:
        self.interval = interval
        self.tool_seconds = tool_seconds
        self.rollups = rollups
        self.judge = judge
        self.slow_seconds = slow_seconds
        self.sources = sources
        self.name = members.name()
        self.watches: dict[Address, Watch] = {}
        self.others: frozenset[str] = frozenset()
        self._shares = Shares(self.name)
        self._wanted: dict[Address, Standing] = {}
        self._parting: dict[Address, float] = {}
        self._winners: dict[int, str | None] = {}
        self._leaving = False
        self._shared = asyncio.Event()
        self._alone = asyncio.Event()
        self._fresh: list[Sample] = []

    async def run(self) -> None:
        """Until it is cancelled."""
        pool = Pool(keepalive=max(3 * self.interval, 15), connect_timeout=max(4, self.interval * 2))
        recorder = Recorder(self.interval, self.name)
        site = Site(
            pool, self.interval, self._fresh.append, self.tool_seconds, self.slow_seconds, self.sources
        )  # fmt: skip
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._belong())
                tasks.create_task(self._discover(site, recorder))
                tasks.create_task(self._look())
                tasks.create_task(self._flush(recorder))
                if self.rollups is not None:
                    tasks.create_task(self._close_periods(self.rollups))
        finally:
            tasks_left = [watch.task for watch in self.watches.values()]
            for watch in self.watches.values():
                watch.end()
            await asyncio.gather(*tasks_left, return_exceptions=True)
            await pool.close()
            await recorder.leave()
            await recorder.close()
            with suppress(Error):
                await on_db(members.leave, self.name)

    async def part(self) -> None:
        """Hand all machines to the other collectors; returns once they have them, or there is nobody to take them."""
        self._leaving = True
        with suppress(Error):
            self.others = (await on_db(members.beat, self.name, len(self.watches), True)).living
        if self.others and self.watches:
            with suppress(TimeoutError):
                async with asyncio.timeout(HANDOVER_SECONDS):
                    await self._alone.wait()

    async def _belong(self) -> None:
        """Keep one's row alive and see whose others are. A database that is away changes nothing."""
        loop = asyncio.get_running_loop()
        beaten = trusted = loop.time()
        known = False
        while True:
            try:
                if not known or loop.time() - beaten >= members.BEAT_SECONDS:
                    seen = await on_db(members.beat, self.name, len(self.watches), self._leaving)
                    if known and loop.time() - beaten > members.DEAD_SECONDS:
                        # We were not heard of, and may not have heard the others: nobody is dead yet.
                        trusted = loop.time() + members.DEAD_SECONDS
                    beaten, known, living = loop.time(), True, seen.living
                else:
                    living = await on_db(members.living, self.name)
                self.others = living if loop.time() >= trusted else living | self.others
                self._shared.set()
            except Error as wrong:
                log.warning("the collectors can't be read (%s); each samples on what it has", wrong)
            await asyncio.sleep(MEMBERS_SECONDS)

    async def _discover(self, site: Site, recorder: Recorder) -> None:
        """Bring the watches to what this collector wins, whenever that or the machines may have changed."""
        loop = asyncio.get_running_loop()
        await self._shared.wait()
        read_at, before = float("-inf"), (self.others, self._leaving)
        while True:
            if loop.time() - read_at >= DISCOVER_SECONDS or (self.others, self._leaving) != before:
                read_at, before = loop.time(), (self.others, self._leaving)
                try:
                    self._wanted = await on_db(contact.watched)
                except Error as wrong:
                    log.warning("the machines can't be read (%s); those that are known are watched on", wrong)
                self._share_out(site)
            if self._parting:
                await self._let_go(recorder)
            if self._leaving and not self.watches:
                self._alone.set()
            await asyncio.sleep(min(MEMBERS_SECONDS, DISCOVER_SECONDS) / 2)

    def _share_out(self, site: Site) -> None:
        """Watch what this collector wins; what another does, it parts with."""
        collectors = self.others if self._leaving else self.others | {self.name}
        self._winners = winners = self._shares.winners((one.machine_id for one in self._wanted), collectors)
        for address in self.watches.keys() - self._wanted.keys():
            self._end(address)
        for address, standing in self._wanted.items():
            known = self.watches.get(address)
            if winners[address.machine_id] in (self.name, None):
                self._parting.pop(address, None)
                if known is None or known.over():
                    self.watches[address] = Watch(site, address)
                else:
                    known.seen(standing)
            elif known is not None and address not in self._parting:
                self._parting[address] = asyncio.get_running_loop().time() + HANDOVER_SECONDS

    async def _let_go(self, recorder: Recorder) -> None:
        """End the watches of machines that their new collector has a sample of, or has had time to."""
        now = asyncio.get_running_loop().time()
        taken = await recorder.taken_by([one.name for one in self._parting])
        for address, deadline in [*self._parting.items()]:
            if now > deadline or taken.get(address.name) == self._winners.get(address.machine_id):
                self._end(address)

    def _end(self, address: Address) -> None:
        self._parting.pop(address, None)
        if (watch := self.watches.pop(address, None)) is not None:
            watch.end()

    async def _look(self) -> None:
        """See which machines are overdue: a few times in an interval, so that three of them are kept."""
        loop = asyncio.get_running_loop()
        pause, before = min(self.interval / 8, 0.5), loop.time()
        while True:
            await asyncio.sleep(pause)
            now = loop.time()
            late, before = now - before - pause, now
            for watch in self.watches.values():
                if late > self.interval:
                    watch.stood_still(now, late)
                watch.look(now)

    async def _flush(self, recorder: Recorder) -> None:
        """Write what was read, and tell those who look."""
        loop = asyncio.get_running_loop()
        news = News(self.interval)
        flushed = 0.0
        while True:
            if self._fresh or loop.time() - flushed >= IDLE_FLUSH_SECONDS:
                flushed = loop.time()
                samples, self._fresh[:] = list(self._fresh), []
                await recorder.record(samples, len(self.watches))
                if self.rollups is not None:
                    for sample in samples:
                        self.rollups.add(sample)
                news.tell(samples, recorder.looked, loop.time())
            await asyncio.sleep(FLUSH_SECONDS)

    async def _close_periods(self, rollups: Rollups) -> None:
        """Once a second: what has ended becomes a row, and rules are held against it."""
        while True:
            await asyncio.sleep(CLOSE_SECONDS)
            try:
                rollups.watch({one.name: one.machine_id for one in self.watches if one not in self._parting})
                periods = await rollups.close_periods(time.time())
                if periods and self.judge is not None:
                    await self.judge(periods)
            except Exception:
                # Sampling goes on whatever becomes of the rows; the next turn finds what is left to close.
                log.exception("a period could not be closed or judged; it is tried again with the next one")
