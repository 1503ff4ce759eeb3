"""The database from an event loop: short calls in a few threads, each with a connection that it keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.db import close_old_connections

P = ParamSpec("P")
T = TypeVar("T")

# The calls are short; more threads would only be more connections.
_threads = ThreadPoolExecutor(4, thread_name_prefix="database")


async def on_db(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of ``call``. A connection that is too old, or that failed the call before, is made anew first."""

    def run() -> T:
        close_old_connections()
        return call(*args, **kwargs)

    return await asyncio.get_running_loop().run_in_executor(_threads, run)
