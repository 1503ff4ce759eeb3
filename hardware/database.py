"""The database from an event loop: short calls in a few threads, each with a connection that it keeps.

Reads go side by side. Writes of a process go through one thread (``hardware.writing``): SQLite has room for one at a
time anyway, and who finds it taken sleeps before it looks again.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from django.db import InterfaceError, OperationalError, close_old_connections, connection

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

# The calls are short; more threads would only be more connections.
_threads = ThreadPoolExecutor(4, thread_name_prefix="database")


async def on_db(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of ``call``. A connection that is too old, or that failed the call before, is made anew first."""

    def run() -> T:
        close_old_connections()
        return call(*args, **kwargs)

    return await asyncio.get_running_loop().run_in_executor(_threads, run)


async def on_db_until_done(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """``on_db``, again and again while the database is away; for calls that may be made twice.

    A commit whose answer was lost may have been done: the call is made again all the same.
    """
    return await until_done(partial(on_db, call, *args, **kwargs))


async def until_done(attempt: Callable[[], Awaitable[T]]) -> T:
    """What ``attempt`` gives, made again and again while the database is away."""
    pause, told = 0.2, False
    while True:
        try:
            return await attempt()
        except Exception as wrong:
            if not is_away(wrong):
                raise
            if not told:
                log.warning("the database is away (%s); what was to be written is tried again", wrong)
            told = True
        await asyncio.sleep(pause)
        pause = min(pause * 2, 5)


def is_away(wrong: BaseException) -> bool:
    """Whether a database error is none of the statement's: locked, full, restarted, or the connection was dropped."""
    # Closing a cursor on a dropped connection raises the driver's own error, which Django does not wrap.
    driver = connection.Database  # type: ignore[attr-defined]
    if not isinstance(wrong, OperationalError | InterfaceError | driver.OperationalError | driver.InterfaceError):
        return False
    # SQLite says "no such table" by the same class.
    return getattr(wrong.__cause__ or wrong, "sqlite_errorcode", None) != sqlite3.SQLITE_ERROR
