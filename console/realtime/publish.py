"""Tells the processes that hold sockets what has changed, after the commit and beside the transaction.

A wake-up is handed to one background thread with an event loop of its own. The first goes out at once, those of a
hundredth of a second after it together: a burst costs one message a group, and its caller wakes the thread only once. A
Redis that is away or slow costs the caller nothing: what can't be sent is dropped, and readers, who look into
the store every few seconds anyway, are late by that much.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from typing import Any

from channels.layers import get_channel_layer
from django.db import transaction

from console.realtime.messages import LOOK, News, Wakeup, group, newer
from hardware.events import Change, changed

log = logging.getLogger(__name__)

CAPACITY = 10_000
SEND_SECONDS = 2.0
PAUSE_SECONDS = 1.0
GATHER_SECONDS = 0.01
# Wake-ups in one message.
TOGETHER = 1000


class Publisher:
    """The thread and what waits for it: ``CAPACITY`` wake-ups at most, the oldest go first."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], Wakeup] = {}
        self._guard = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._something = asyncio.Event()
        self._resting = False
        self._away = False
        self._pid = os.getpid()
        threading.Thread(target=self._loop.run_until_complete, args=[self._run()], name="publish", daemon=True).start()

    @property
    def usable(self) -> bool:
        """Whether this process started it: a thread does not live on in a fork."""
        return self._pid == os.getpid()

    def put(self, wakeup: Wakeup) -> None:
        """Take a wake-up; never waits, never fails."""
        place = (wakeup["topic"], wakeup["key"])
        with self._guard:
            wake, self._resting = self._resting, False
            self._waiting[place] = newer(self._waiting.pop(place, None), wakeup)
            if len(self._waiting) > CAPACITY:
                del self._waiting[next(iter(self._waiting))]
        if wake:
            self._loop.call_soon_threadsafe(self._something.set)

    async def _take(self) -> list[Wakeup]:
        """What waits, as soon as there is something."""
        while True:
            with self._guard:
                if self._waiting:
                    batch, self._waiting = self._waiting, {}
                    return list(batch.values())
                self._resting = True
            await self._something.wait()
            self._something.clear()

    async def _run(self) -> None:
        while True:
            batch = await self._take()
            try:
                for name, news in together(batch):
                    async with asyncio.timeout(SEND_SECONDS):
                        await get_channel_layer().group_send(name, news)
                if self._away:
                    log.info("Redis is back; pages are told of changes again")
                self._away = False
            except Exception as wrong:
                if not self._away:
                    log.warning("Redis can't be told of changes (%s); pages look for themselves", wrong)
                self._away = True
                await asyncio.sleep(PAUSE_SECONDS)
            await asyncio.sleep(GATHER_SECONDS)


@lru_cache(maxsize=1)
def _started() -> Publisher:
    return Publisher()


def publisher() -> Publisher:
    """This process's publisher."""
    if not _started().usable:
        _started.cache_clear()
    return _started()


def together(batch: Iterable[Wakeup]) -> Iterator[tuple[str, News]]:
    """The messages that tell of all of them, each with its group. A reading goes alone: it may be large."""
    groups: dict[str, list[Wakeup]] = defaultdict(list)
    for wakeup in batch:
        if "payload" in wakeup:
            yield group(wakeup["topic"]), News(type="wakeups", wakeups=[wakeup])
        else:
            groups[group(wakeup["topic"])].append(wakeup)
    for name, those in groups.items():
        for first in range(0, len(those), TOGETHER):
            yield name, News(type="wakeups", wakeups=those[first : first + TOGETHER])


def wakeups(change: Change) -> list[Wakeup]:
    """What to tell of a change: its payload stays behind, except a reading, which no database holds."""
    if change.type in ("samples", "telemetry"):
        return [Wakeup(topic=change.topic, key=change.type, payload=change.payload)]
    if change.topic == "fleet":
        return [_of_fleet(f"{change.type}:{change.payload.get(change.type, '')}")]
    made = [Wakeup(topic=change.topic, key=LOOK)]
    if change.topic.startswith("job:") and change.type == "job":
        made.append(_of_fleet(change.topic))
    return made


def _of_fleet(key: str) -> Wakeup:
    return Wakeup(topic="fleet", key=key)


def _changed(sender: Any, change: Change, **_: Any) -> None:
    # Looked at before on_commit, which would ask the database whether there is a transaction: the collector announces
    # from its event loop, where that is not allowed.
    connection = transaction.get_connection()
    made = wakeups(change)
    if connection.in_atomic_block:
        connection.on_commit(partial(_put, made), robust=True)
    else:
        _put(made)


def _put(made: list[Wakeup]) -> None:
    for one in made:
        publisher().put(one)


def listen() -> None:
    changed.connect(_changed, dispatch_uid="console.realtime")
