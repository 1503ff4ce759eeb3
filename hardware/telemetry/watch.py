"""The watch of one machine: a task that samples it, and a look from outside that sees when it does not get on.

The task may hang in a login, in a question, in a tool: whether the machine counts as silent is decided by ``look``,
which the collector calls a few times in each interval, from when the machine owes a word. Nothing here waits for
another machine, except for a turn to log in.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Protocol

from django.db import Error

from hardware.database import on_db
from hardware.inventory.models import Machine
from hardware.ssh.endpoint import Endpoint
from hardware.ssh.errors import HostKeyChanged, LinkLost, SSHFailure
from hardware.ssh.pool import Pool
from hardware.telemetry import contact, slow
from hardware.telemetry.contact import NO_ANSWER, Address
from hardware.telemetry.refused import Refused, counts
from hardware.telemetry.samples import Sample
from hardware.telemetry.session import TOOL_SECONDS, Session, stuck
from hardware.writing import write

log = logging.getLogger(__name__)

# A machine owes a word this many intervals after it was asked; the one before came an interval earlier.
PATIENCE = 1.6
# A tool that takes longer than this many intervals has the link sounded, as often as that says in intervals.
WAIT = 0.8
SOUND = 0.4
# A first login takes longer than a word, above all when a collector begins with thousands of them.
FIRST_WORD_SECONDS = 4.0
# How soon a machine is asked again that has no driver, whose npu-smi hangs, or that does not answer.
NO_DRIVER_SECONDS = 6.0
STUCK_SECONDS = 60.0
LONGEST_PAUSE = 15.0
SPREAD_SECONDS = 3.0
SOURCE_SECONDS = 10.0
# A tool that hung when it was asked for what is slow is left alone for so long.
SLOW_PAUSE_SECONDS = 600.0
TURN_SECONDS = 1.0


class Turns:
    """Logins at once. One that hangs costs no processor: its turn is over after ``TURN_SECONDS``."""

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        await self._free.acquire()
        over = False

        def end() -> None:
            nonlocal over
            if not over:
                over = True
                self._free.release()

        handle = asyncio.get_running_loop().call_later(TURN_SECONDS, end)
        try:
            yield
        finally:
            handle.cancel()
            end()


class Source(Protocol):
    """Something that knows vitals of a machine which its own tools don't tell."""

    async def read(self, pool: Pool, endpoint: Endpoint, machine_name: str) -> dict[str, float]: ...


@dataclass
class Site:
    """What all watches of a collector share. Times in seconds."""

    pool: Pool
    interval: float
    deliver: Callable[[Sample], None]
    tool_seconds: float = TOOL_SECONDS
    slow_seconds: float = 60.0
    sources: Sequence[Source] = ()
    logins: Turns = field(default_factory=lambda: Turns(100))
    # Those that failed stand in a line of their own: a rack without power holds nobody else up.
    again: Turns = field(default_factory=lambda: Turns(100))
    asking: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(50))


class Watch:
    """Samples one machine in a task of its own, until that is cancelled."""

    def __init__(self, site: Site, address: Address) -> None:
        self.site = site
        self.address = address
        self.answering = False
        # What the database is to say of it: why it is silent, or None; and what it was told last.
        self._wrong: SSHFailure | None = None
        self._told: SSHFailure | str | None = "nothing yet"
        self._teller: asyncio.Task[None] | None = None
        self._session: Session | None = None
        # Until when (loop time) it owes a word; when npu-smi counts as hanging, and when it is given up.
        self._due: float | None = None
        self._heard_at: float | None = None
        self._stuck_at = self._hopeless_at = self._sound_at = float("inf")
        self._asked_at = 0.0
        self._took = 0.0
        self._sounding = False
        self._reason: SSHFailure | None = None
        # What was logged in with last, and how that was refused.
        self._login: Endpoint | None = None
        self._refused = Refused()
        self.slow = slow.Slow()
        self._slow_at = 0.0
        self._slow_done = 0
        self._sources: asyncio.Task[None] | None = None
        self.told: dict[str, float] = {}
        self.loop = asyncio.get_running_loop()
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        # Spread: a fleet that is asked in step loads the network and us in bursts.
        await asyncio.sleep(random.uniform(0, min(self.site.interval, SPREAD_SECONDS)))
        pause = self.site.interval / 2
        while True:
            try:
                await self._sampling()
                pause = STUCK_SECONDS
            except Machine.DoesNotExist:
                return
            except HostKeyChanged as wrong:
                with suppress(SSHFailure, Machine.DoesNotExist):
                    endpoint = await self._endpoint()
                    offered = await self.site.pool.host_key(endpoint)
                    await on_db(contact.blocked, self.address.machine_id, wrong, offered)
                    return
            except SSHFailure as wrong:
                pause = self._failed(wrong, pause)
                if counts(wrong) and self._login is not None:
                    with suppress(Machine.DoesNotExist, Error):
                        await self._refused.wait(self._login, self._endpoint)
                        continue
            except Error as wrong:
                log.warning("%s: the database is away (%s)", self.address.name, wrong)
                pause = self.site.interval
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))

    async def _endpoint(self) -> Endpoint:
        found: Endpoint = await on_db(contact.endpoint, self.address.machine_id)
        return found

    def _failed(self, wrong: SSHFailure, pause: float) -> float:
        """Remember why; returns the seconds until it is tried again."""
        self._reason = wrong
        if counts(wrong):
            self._refused.another()
        if wrong.code not in NO_ANSWER:
            # It answers, and does not let us in: no need to wait for a word.
            self._due = None
            self._stand(wrong)
        elif self.answering:
            # A link can be cut without the machine being gone: the next attempts tell, until it is overdue.
            self._owes()
            return 0.1 if isinstance(wrong, LinkLost) else min(self.site.interval / 4, 0.5)
        return min(max(pause * 2, min(self.site.interval, 2)), LONGEST_PAUSE)

    async def _sampling(self) -> None:
        """Sample over one channel; returns when ``npu-smi`` hangs for good."""
        self._login = endpoint = await self._endpoint()
        session = Session(self.site.pool, endpoint, self.heard, self._owes)
        try:
            turns = self.site.logins if self._wrong is None else self.site.again
            async with turns.turn():
                if self._due is None:
                    self._due = self.loop.time() + max(self.site.interval * (1 + PATIENCE), FIRST_WORD_SECONDS)
                await session.open()
            self._session = session
            while await self._reading(session, endpoint):
                pass
        finally:
            self._session = None
            self._sounding = False
            self._stuck_at = self._hopeless_at = self._sound_at = float("inf")
            session.close()

    async def _reading(self, session: Session, endpoint: Endpoint) -> bool:
        """One reading, and the wait for the next; ``False`` when npu-smi hangs for good."""
        began = self._asked_at = self.loop.time()
        self._due = self._due or began + self.site.interval * PATIENCE
        self._stuck_at = began + min(max(3 * self.site.interval, 3 * self._took), self.site.tool_seconds)
        self._hopeless_at = began + self.site.tool_seconds + self.site.interval * PATIENCE
        self._sound_at = began + WAIT * self.site.interval
        try:
            sample, took = await session.sample()
        except _Hangs:
            # It answers otherwise; the link stays up, so that we see when it does not.
            self._stuck_at = self._hopeless_at = self._sound_at = float("inf")
            session.sound(SOUND * self.site.interval)
            if await session.gone(STUCK_SECONDS):
                raise LinkLost(self.address.name, "the SSH link was cut.") from None
            return False
        self._quiet(session)
        self._took = took if sample.state == "ok" else self._took
        every = self._every(sample)
        chips = sample.chips
        if sample.state == "ok":
            self.slow.onto(chips, sample.vitals)
        sample.vitals.update(self.told)
        self.site.deliver(Sample(sample.machine, sample.at, sample.state, chips, sample.said, sample.vitals, every))
        if sample.state != "stuck" and began >= self._slow_at:
            await self._read_slow(session, endpoint, sample)
        await asyncio.sleep(max(0, began + every - self.loop.time()))
        return True

    def _every(self, sample: Sample) -> float:
        """Seconds until the next reading. npu-smi is busy half of the time at most."""
        if sample.state == "no-driver":
            return max(self.site.interval, NO_DRIVER_SECONDS)
        return max(self.site.interval, 2 * self._took)

    async def _read_slow(self, session: Session, endpoint: Endpoint, sample: Sample) -> None:
        """As much as two seconds allow; the rest comes behind the next readings."""
        if self.site.sources and (self._sources is None or self._sources.done()):
            self._sources = asyncio.create_task(self._ask_sources(endpoint))
        self._asked_at = self.loop.time()
        self._due = self._due or self._asked_at + self.site.interval * PATIENCE
        self._hopeless_at = self._asked_at + 2 * self.site.tool_seconds
        self._sound_at = self._asked_at + WAIT * self.site.interval
        try:
            answer, asked = await session.slow(slow.words(self._slow_done, sample.chips))
        except _Hangs:
            self._slow_at, self._slow_done = self.loop.time() + SLOW_PAUSE_SECONDS, 0
            raise LinkLost(self.address.name, "a tool hung that was asked for error counts and links.") from None
        self._quiet(session)
        ahead = slow.skew(answer.began, asked, answer.delay)
        if ahead is not None:
            self.slow.vitals["clock_skew_s"] = ahead
        done = slow.take(answer.text.decode("utf-8", "replace"), [*sample.chips], self.slow)
        self._slow_done = done or 0
        if done is None:
            self._slow_at = self._asked_at + self.site.slow_seconds

    def _quiet(self, session: Session) -> None:
        """An answer is there."""
        self._stuck_at = self._hopeless_at = self._sound_at = float("inf")
        if self._sounding:
            self._sounding = False
            session.sound(None)

    async def _ask_sources(self, endpoint: Endpoint) -> None:
        told: dict[str, float] = {}
        for source in self.site.sources:
            try:
                async with self.site.asking, asyncio.timeout(SOURCE_SECONDS):
                    told |= await source.read(self.site.pool, endpoint, self.address.name)
            except Exception as wrong:
                log.debug("%s: %s told nothing (%s)", self.address.name, type(source).__name__, wrong)
        self.told = told

    def heard(self) -> None:
        """It says a word."""
        self._due = None
        self._heard_at = self.loop.time()
        if not self.answering:
            self.answering = True
            self._stand(None)

    def _owes(self) -> None:
        """The link is gone, or an attempt failed: from now on it owes a word."""
        if self._due is None and self.answering:
            now, interval = self.loop.time(), self.site.interval
            self._due = max((self._heard_at or now) + interval * (1 + PATIENCE), now + interval / 2)

    def stood_still(self, now: float, seconds: float) -> None:
        """This process did not run for so long, and heard nobody: who owes a word has as long as from now on."""
        if self._heard_at is not None:
            self._heard_at = now
        if self._due is not None:
            self._due = max(self._due, now + self.site.interval * (1 + PATIENCE))
        self._stuck_at += seconds
        self._hopeless_at += seconds
        self._sound_at += seconds

    def look(self, now: float) -> None:
        """Whether it is overdue, or its npu-smi is. Called a few times in each interval."""
        if self._due is not None and now > self._due:
            self._overdue(now)
        if now > self._sound_at and self._session is not None:
            self._sound_at = float("inf")
            self._sounding = True
            self._session.sound(SOUND * self.site.interval)
        if now > self._stuck_at and self._due is None:
            self._stuck_at = float("inf")
            seconds = now - self._asked_at
            made = stuck(self.address.name, time.time(), seconds)
            vitals = {**self.slow.vitals, **self.told}
            self.site.deliver(Sample(made.machine, made.at, "stuck", [], made.said, vitals, self.site.tool_seconds))
        if now > self._hopeless_at and self._session is not None:
            self._hopeless_at = float("inf")
            self._session.give_up(_Hangs(self.address.name, "a tool hangs."))

    def _overdue(self, now: float) -> None:
        self._due = None
        self.answering = False
        since = now - (self._heard_at or self._asked_at or now)
        wrong = self._reason
        if self._session is not None:
            wrong = self._session.silent(since)
            self._session.give_up(wrong)
        elif wrong is None or wrong.code not in NO_ANSWER:
            wrong = contact.no_login(self.address.name, since)
        self._stand(wrong)

    def _stand(self, wrong: SSHFailure | None) -> None:
        """Tell the database how it stands, one write after another."""
        self._wrong = wrong
        if wrong is None:
            self._reason = None
            self._refused.over()
        if self._teller is None or self._teller.done():
            self._teller = asyncio.create_task(self._tell())

    async def _tell(self) -> None:
        while self._told is not self._wrong:
            wrong = self._wrong
            if wrong is None:
                await write(contact.answered, self.address.machine_id)
            else:
                await write(contact.failed, self.address.machine_id, wrong, self._refused.again_at)
                log.debug("%s", wrong)
            self._told = wrong

    def seen(self, standing: contact.Standing) -> None:
        """The database says something else than we do: somebody's probe came at another time."""
        if self._told is not self._wrong:
            return
        if self._refused.again_at is not None and not standing.silent:
            self._refused.at_once()
        elif (self.answering and standing.no_answer) or (self._wrong is not None and not standing.silent):
            self._told = "something else"
            self._stand(self._wrong)

    def over(self) -> bool:
        """Whether it has ended by itself; a fault that nobody foresaw is logged."""
        if self.task.done() and not self.task.cancelled() and (wrong := self.task.exception()):
            log.error("%s: its watch ended", self.address.name, exc_info=wrong)
        return self.task.done()

    def end(self) -> None:
        """Stop sampling; the link is dropped."""
        self.task.cancel()
        if self._sources is not None:
            self._sources.cancel()


class _Hangs(SSHFailure):
    """A tool on the machine gives no answer, though the machine does."""
