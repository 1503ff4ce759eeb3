"""One listener on the channel layer for all sockets of a process.

A consumer of Channels would hold a channel of its own, could not open while Redis is away, and would be ended by its
errors. Here a socket subscribes to topics in memory; the hub joins and leaves the groups behind it, and goes on trying
while Redis is away. What is said then is lost: subscribers look into the store every few seconds.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

from channels.layers import get_channel_layer

from console.realtime.messages import LOOK, Wakeup, group, newer

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
CAPACITY = 10_000


class Subscription:
    """What one socket waits for. Holds the newest wake-up of each topic and key, ``CAPACITY`` of them at most."""

    def __init__(self, topics: tuple[str, ...]) -> None:
        self.topics = topics
        self._news: dict[tuple[str, str], Wakeup] = {}
        self._event = asyncio.Event()

    def give(self, wakeup: Wakeup) -> None:
        place = (wakeup["topic"], wakeup["key"])
        self._news[place] = newer(self._news.pop(place, None), wakeup)
        if len(self._news) > CAPACITY:
            del self._news[next(iter(self._news))]
        self._event.set()

    async def something(self, seconds: float) -> None:
        """Returns when there is something to take, or after ``seconds``."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()

    def take(self) -> list[Wakeup]:
        """What came since the last call."""
        self._event.clear()
        news, self._news = self._news, {}
        return list(news.values())


class Hub:
    def __init__(self) -> None:
        self._subscriptions: dict[str, set[Subscription]] = {}
        self._joined: set[str] = set()
        self._changed = asyncio.Event()
        self._channel: str | None = None
        self._tasks = [asyncio.create_task(self._keep_joined()), asyncio.create_task(self._listen())]

    def subscribe(self, *topics: str) -> Subscription:
        made = Subscription(topics)
        for topic in topics:
            self._subscriptions.setdefault(topic, set()).add(made)
        self._changed.set()
        return made

    def leave(self, subscription: Subscription) -> None:
        for topic in subscription.topics:
            others = self._subscriptions.get(topic, set())
            others.discard(subscription)
            if not others:
                self._subscriptions.pop(topic, None)
        self._changed.set()

    async def _keep_joined(self) -> None:
        """Bring the groups that are joined to what is subscribed, over and over."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                layer: Any = get_channel_layer()
                if self._channel is None:
                    self._channel = await layer.new_channel()
                wanted = {group(topic) for topic in self._subscriptions}
                for name in wanted - self._joined:
                    await layer.group_add(name, self._channel)
                    self._joined.add(name)
                    self._let_look(name)
                for name in self._joined - wanted:
                    await layer.group_discard(name, self._channel)
                    self._joined.discard(name)
            except Exception as wrong:
                log.debug("the channel layer is away: %s", wrong)
                self._changed.set()
                await asyncio.sleep(RETRY_SECONDS)

    def _let_look(self, name: str) -> None:
        """What changed since a subscriber last looked, and before the group was joined, it finds by looking now."""
        for topic, subscriptions in self._subscriptions.items():
            if group(topic) == name:
                for subscription in subscriptions:
                    subscription.give(Wakeup(topic=topic, key=LOOK))

    async def _listen(self) -> None:
        while True:
            if self._channel is None:
                await asyncio.sleep(0.05)
                continue
            try:
                news = await get_channel_layer().receive(self._channel)
            except Exception as wrong:
                log.warning("a wake-up could not be read (%s)", wrong)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            for wakeup in news["wakeups"]:
                for subscription in self._subscriptions.get(wakeup["topic"], ()):
                    subscription.give(wakeup)


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def hub() -> Hub:
    """The hub of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        _hubs[loop] = Hub()
    return _hubs[loop]
