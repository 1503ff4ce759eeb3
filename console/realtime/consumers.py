"""The sockets: a job's log, a machine's telemetry, the fleet.

Each runs one loop: read from the store what is new, send it, wait for a wake-up or a few seconds. Nothing is queued for
a client: while a send waits for a slow one, nothing is read, and wake-ups only replace each other.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from importlib import import_module
from typing import Any
from urllib.parse import parse_qs

from channels.auth import get_user
from django.conf import settings

from console.realtime.feeds import FleetFeed, JobFeed
from console.realtime.hub import Subscription, hub
from console.realtime.messages import (
    BAD_POSITION,
    LOOK,
    NO_SUCH_THING,
    NOT_LOGGED_IN,
    SERVER_FAULT,
    TRY_AGAIN,
    WHOLE,
    IdleFrame,
    Wakeup,
    encode,
)
from hardware.database import on_db
from hardware.inventory.models import Machine
from hardware.telemetry.samples import FLEET, latest, look

log = logging.getLogger(__name__)

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

# Ten messages a second at most: what comes faster is sent together.
GAP_SECONDS = 0.1
# A lost wake-up costs this much at most.
LOOK_SECONDS = 2.0
FLEET_LOOK_SECONDS = 10.0
# The page gives the link up after 40 s without a word.
IDLE_SECONDS = 15.0
LOGIN_CHECK_SECONDS = 60.0
# A client that takes nothing for so long is gone, or may as well come back later.
STALLED_SECONDS = 60.0
# How often the collectors are told that somebody looks.
LOOKING_SECONDS = 3.0


class LoggedOut(Exception):
    """The session of a socket is over."""


class Feed:
    """What the sockets share: who may, the pace, the words that show that the link is alive.

    Not a consumer of Channels: under granian a close waits for a pending receive, which Channels always has, and a
    channel a socket would tie the socket's life to Redis.
    """

    def __init__(self, scope: Mapping[str, Any], send: Send) -> None:
        self.scope = scope
        self._send = send
        self._sent_at = self._login_seen_at = time.monotonic()
        self._looking_at = float("-inf")

    @classmethod
    def as_asgi(cls) -> Any:
        async def application(scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
            await cls(scope, send)._serve(receive)

        return application

    async def refused(self) -> int | None:
        """The code to close with at once, or ``None``."""
        return None

    def topics(self) -> Sequence[str]:
        raise NotImplementedError

    async def follow(self, wakeups: Subscription) -> int:
        """Say what there is to say, until there is nothing more; returns the code to close with."""
        raise NotImplementedError

    async def _serve(self, receive: Receive) -> None:
        await receive()
        code = NOT_LOGGED_IN if not self.scope["user"].is_authenticated else await self.refused()
        # Accepted first: a browser is told the code of a close, but not of a handshake that failed.
        await self._send({"type": "websocket.accept"})
        if code is None:
            listening, telling = asyncio.create_task(_gone(receive)), asyncio.create_task(self._tell())
            await asyncio.wait({listening, telling}, return_when=asyncio.FIRST_COMPLETED)
            code = telling.result() if telling.done() else None
            listening.cancel()
            telling.cancel()
            await asyncio.gather(listening, telling, return_exceptions=True)
        if code is not None:
            await self._send({"type": "websocket.close", "code": code})

    async def _tell(self) -> int:
        wakeups = hub().subscribe(*self.topics())
        try:
            return await self.follow(wakeups)
        except TimeoutError:
            # The page comes back with its position, when it can.
            return TRY_AGAIN
        except LoggedOut:
            return NOT_LOGGED_IN
        except Exception:
            log.exception("%s: the feed ended", self.scope["path"])
            return SERVER_FAULT
        finally:
            hub().leave(wakeups)

    async def news(self, wakeups: Subscription, seconds: float) -> list[Wakeup]:
        """The wake-ups since the last call, waiting ``seconds`` at most for one, and until the pace allows a message.

        The pace is kept here, before the store is read: what is read is then sent at once.
        """
        await wakeups.something(seconds)
        await asyncio.sleep(self._sent_at + GAP_SECONDS - time.monotonic())
        return wakeups.take()

    async def looking(self, name: str) -> None:
        """Have the collectors announce samples: those of a machine, or the fleet's."""
        if time.monotonic() - self._looking_at > LOOKING_SECONDS:
            self._looking_at = time.monotonic()
            # Not among the database's threads: a Redis that is away must not hold those up.
            await asyncio.to_thread(look, name)

    async def say(self, frames: Sequence[Mapping[str, Any]]) -> None:
        """Send the frames as one message; without any, only show that we are here.

        Raises ``TimeoutError`` when the client takes nothing for long, ``LoggedOut`` when it may no longer know.
        """
        now = time.monotonic()
        if not frames and now - self._sent_at < IDLE_SECONDS:
            return
        if now - self._login_seen_at > LOGIN_CHECK_SECONDS:
            self._login_seen_at = now
            await self._check_login()
        async with asyncio.timeout(STALLED_SECONDS):
            await self._send({"type": "websocket.send", "text": encode(frames or [IdleFrame(type="idle")])})
        self._sent_at = time.monotonic()

    async def _check_login(self) -> None:
        """A socket can outlive its session by days."""
        session = import_module(settings.SESSION_ENGINE).SessionStore(self.scope["session"].session_key)
        user = await get_user({"session": session})
        if not user.is_authenticated:
            raise LoggedOut


async def _gone(receive: Receive) -> None:
    """Returns when the client has left; what it says meanwhile means nothing."""
    while (await receive())["type"] != "websocket.disconnect":
        pass


class JobLog(Feed):
    """``/ws/jobs/ID/log?after=OFFSET&since=TIME``"""

    async def refused(self) -> int | None:
        query = parse_qs(self.scope["query_string"].decode("latin-1"))
        asked = query.get("after", ["0"])[0]
        if not (asked.isascii() and asked.isdigit() and len(asked) < 19):
            return BAD_POSITION
        since = _moment(query.get("since", [""])[0])
        self.feed = JobFeed(self.scope["url_route"]["kwargs"]["job"], int(asked), since)
        return None if await on_db(self.feed.exists) else NO_SUCH_THING

    def topics(self) -> Sequence[str]:
        return [f"job:{self.feed.job_id}", f"job-log:{self.feed.job_id}"]

    async def follow(self, wakeups: Subscription) -> int:
        states = True
        while True:
            batch = await on_db(self.feed.read, states)
            if batch.whole:
                batch.frames.append({"type": "end", "offset": self.feed.offset})
            await self.say(batch.frames)
            if batch.whole:
                return WHOLE
            news = await self.news(wakeups, 0 if batch.more else LOOK_SECONDS)
            looking = not news and not batch.more
            states = looking or any(one["topic"].startswith("job:") for one in news)


def _moment(text: str) -> datetime | None:
    """A time with its zone; without one that can be read all is told, as without ``since``."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


class Telemetry(Feed):
    """``/ws/machines/NAME/telemetry``"""

    async def refused(self) -> int | None:
        self.machine = self.scope["url_route"]["kwargs"]["name"]
        found = await on_db(Machine.objects.filter(name=self.machine).exists)
        return None if found else NO_SUCH_THING

    def topics(self) -> Sequence[str]:
        return [f"telemetry:{self.machine}"]

    async def follow(self, wakeups: Subscription) -> int:
        said = ""
        newest = await self._newest()
        while True:
            await self.looking(self.machine)
            fresh = [newest] if newest and newest["at"] != said else []
            await self.say([{"type": "samples", **one} for one in fresh])
            said = fresh[0]["at"] if fresh else said
            news = await self.news(wakeups, LOOK_SECONDS)
            told = [one["payload"] for one in news if "payload" in one]
            newest = told[-1] if told else await self._newest()

    async def _newest(self) -> dict[str, Any] | None:
        # Not among the database's threads: a Redis that is away must not hold those up.
        return (await asyncio.to_thread(latest, [self.machine])).get(self.machine)


class Fleet(Feed):
    """``/ws/fleet``"""

    def topics(self) -> Sequence[str]:
        return ["fleet"]

    async def follow(self, wakeups: Subscription) -> int:
        feed = FleetFeed()
        await self.say(await on_db(feed.everything))
        looked = time.monotonic()
        while True:
            await self.looking(FLEET)
            news = await self.news(wakeups, LOOK_SECONDS)
            frames: list[Mapping[str, Any]] = await on_db(feed.named, *_named(news)) if news else []
            if time.monotonic() - looked > FLEET_LOOK_SECONDS or any(one["key"] == LOOK for one in news):
                looked = time.monotonic()
                frames = [*frames, *await on_db(feed.everything)]
            frames = [*frames, *({"type": "telemetry", **one["payload"]} for one in news if one["key"] == "telemetry")]
            await self.say(frames)


class Nowhere(Feed):
    """Any other address."""

    async def refused(self) -> int | None:
        return NO_SUCH_THING


def _named(news: Sequence[Wakeup]) -> tuple[list[str], list[int], list[int]]:
    """Machine names, job ids and alert ids in the keys of the fleet's wake-ups."""
    keys = [one["key"].split(":", 1) for one in news if ":" in one["key"]]
    machines = [name for kind, name in keys if kind == "machine"]
    jobs, alerts = ([int(name) for kind, name in keys if kind == wanted] for wanted in ("job", "alert"))
    return machines, jobs, alerts
