"""Short writes of a process, through one thread: those that come at the same time are committed together.

A transaction costs SQLite more than the statements in it, and a writer that finds the database taken sleeps up to a
tenth of a second before it looks again. One thread never finds its own process in the way, and its transaction takes
along what has come meanwhile. When one of its calls fails, nothing of it stands, and each call is made again in a
transaction of its own: a savepoint for every call would cost more than all that fail.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, ParamSpec, TypeVar

from django.db import close_old_connections, connection, transaction

from hardware.database import is_away, on_db, until_done

P = ParamSpec("P")
T = TypeVar("T")

# A transaction takes no more calls after so long: other processes want to write, too.
TOGETHER_SECONDS = 0.005
# So that one of those finds the database free when it looks.
GAP_SECONDS = 0.0006


async def write(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of a short call that writes, after its commit; it is made again while the database is away.

    What it changes outside the database it leaves to ``transaction.on_commit``: it may be rolled back and made again.
    """
    return await until_done(partial(write_once, call, *args, **kwargs))


async def write_once(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """``write`` for who has something better to do than wait: while the database is away, its error is raised."""
    # Elsewhere transactions don't stand in each other's way, and one that holds many rows would.
    once = _together if connection.vendor == "sqlite" else on_db
    return await once(partial(call, *args, **kwargs))


async def _together(call: Callable[[], T]) -> T:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    _writer(os.getpid()).waiting.put(_Call(call, future, loop))
    return await future


@dataclass
class _Call:
    call: Callable[[], Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    result: Any = None
    wrong: Exception | None = None

    def settle(self) -> None:
        if self.future.done():
            return
        if self.wrong is not None:
            self.future.set_exception(self.wrong)
        else:
            self.future.set_result(self.result)


class _Spoiled(Exception):
    """A call failed: all of the transaction is rolled back."""


class Writer:
    """The thread, and the calls that wait for it."""

    def __init__(self) -> None:
        self.waiting: queue.SimpleQueue[_Call] = queue.SimpleQueue()
        threading.Thread(target=self._serve, name="writer", daemon=True).start()

    def _serve(self) -> None:
        while True:
            first = self.waiting.get()
            close_old_connections()
            taken, full = self._transaction(first)
            _settle(taken)
            if full:
                time.sleep(GAP_SECONDS)

    def _transaction(self, first: _Call) -> tuple[list[_Call], bool]:
        """The calls that were made in it, and whether it took no more because its time was over."""
        taken: list[_Call] = []
        full = False
        try:
            with transaction.atomic():
                began = time.monotonic()
                one: _Call | None = first
                while one is not None:
                    taken.append(one)
                    _make(one)
                    full = time.monotonic() - began > TOGETHER_SECONDS
                    one = None if full else self._next()
        except Exception as wrong:
            taken = taken or [first]
            _apart(taken, wrong)
        return taken, full

    def _next(self) -> _Call | None:
        try:
            return self.waiting.get_nowait()
        except queue.Empty:
            return None


def _make(one: _Call) -> None:
    if one.future.cancelled():
        return
    try:
        one.result = one.call()
    except Exception as wrong:
        raise _Spoiled from wrong


def _apart(taken: Sequence[_Call], wrong: Exception) -> None:
    """Nothing of the transaction stands. Unless it was the database's fault, who is to blame shows one by one."""
    for one in taken:
        one.result, one.wrong = None, wrong
        if is_away(wrong) or one.future.cancelled():
            continue
        try:
            with transaction.atomic():
                one.result = one.call()
            one.wrong = None
        except Exception as its_own:
            one.wrong = its_own


def _settle(calls: Sequence[_Call]) -> None:
    """Tell each event loop once."""
    loops: dict[asyncio.AbstractEventLoop, list[_Call]] = defaultdict(list)
    for one in calls:
        loops[one.loop].append(one)
    for loop, those in loops.items():
        # One that was closed meanwhile has nobody left who waits.
        if not loop.is_closed():
            loop.call_soon_threadsafe(_tell, those)


def _tell(calls: Sequence[_Call]) -> None:
    for one in calls:
        one.settle()


@lru_cache(maxsize=1)
def _writer(pid: int) -> Writer:
    # By process id: a thread does not live on in a fork.
    return Writer()
