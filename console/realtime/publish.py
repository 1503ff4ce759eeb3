"""Tells the processes that hold sockets what has changed, after the commit and beside the transaction.

A wake-up is handed to one background thread with an event loop of its own. While it waits there, later wake-ups of the
same topic join it, so that a burst costs one message. A Redis that is away or slow costs the caller nothing: what can't
be sent is dropped, and readers, who look into the store every few seconds anyway, are late by that much.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from functools import lru_cache, partial
from typing import Any

from channels.layers import get_channel_layer
from django.db import transaction

from console.realtime.messages import LOOK, Wakeup, group
from hardware.events import Change, changed

log = logging.getLogger(__name__)

CAPACITY = 10_000
SEND_SECONDS = 2.0
PAUSE_SECONDS = 1.0


class Publisher:
    """The thread and what waits for it: ``CAPACITY`` wake-ups at most, the oldest go first."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], Wakeup] = {}
        self._guard = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._something = asyncio.Event()
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
            idle = not self._waiting
            self._waiting.pop(place, None)
            self._waiting[place] = wakeup
            if len(self._waiting) > CAPACITY:
                del self._waiting[next(iter(self._waiting))]
        if idle:
            self._loop.call_soon_threadsafe(self._something.set)

    async def _run(self) -> None:
        while True:
            await self._something.wait()
            self._something.clear()
            with self._guard:
                batch, self._waiting = self._waiting, {}
            try:
                for wakeup in batch.values():
                    async with asyncio.timeout(SEND_SECONDS):
                        await get_channel_layer().group_send(group(wakeup["topic"]), wakeup)
                if self._away:
                    log.info("Redis is back; pages are told of changes again")
                self._away = False
            except Exception as wrong:
                if not self._away:
                    log.warning("Redis can't be told of changes (%s); pages look for themselves", wrong)
                self._away = True
                await asyncio.sleep(PAUSE_SECONDS)


@lru_cache(maxsize=1)
def _started() -> Publisher:
    return Publisher()


def publisher() -> Publisher:
    """This process's publisher."""
    if not _started().usable:
        _started.cache_clear()
    return _started()


def wakeups(change: Change) -> list[Wakeup]:
    """What to tell of a change: its payload stays behind, except a reading, which no database holds."""
    if change.type in ("samples", "telemetry"):
        return [Wakeup(type="wakeup", topic=change.topic, key=change.type, payload=change.payload)]
    if change.topic == "fleet":
        return [_of_fleet(f"{change.type}:{change.payload.get(change.type, '')}")]
    made = [Wakeup(type="wakeup", topic=change.topic, key=LOOK)]
    if change.topic.startswith("job:") and change.type == "job":
        made.append(_of_fleet(change.topic))
    return made


def _of_fleet(key: str) -> Wakeup:
    return Wakeup(type="wakeup", topic="fleet", key=key)


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
