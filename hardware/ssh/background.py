"""An event loop in a thread of its own, with one SSH pool: how code that is not async reaches machines.

A web process answers requests in threads; each ``call`` from one of them shares the links that are already up.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from functools import lru_cache
from typing import Any, Concatenate, ParamSpec, TypeVar

from hardware.ssh.leftovers import quieten
from hardware.ssh.pool import Pool

P = ParamSpec("P")
T = TypeVar("T")


_making = threading.Lock()


class Background:
    """The loop and its pool. ``name`` is the thread's, as a dump of the process shows it."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        quieten(self.loop)
        self.pool = Pool()
        self._thread = threading.Thread(target=self.loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Start a coroutine on the loop and return at once."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def stop(self) -> None:
        """Stop the loop where it stands; nothing that was submitted goes on."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)

    def call(self, function: Callable[Concatenate[Pool, P], Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Wait for ``function(pool, ...)``; what it raises is raised here. Not to be called from the loop itself."""

        async def go() -> T:
            return await function(self.pool, *args, **kwargs)

        return self.submit(go()).result()


def call(function: Callable[Concatenate[Pool, P], Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """``Background.call`` on the one loop of this process."""
    # Threads that ask for it first at the same time get the same one: lru_cache alone would let each make its own.
    with _making:
        background = _of_process(os.getpid())
    return background.call(function, *args, **kwargs)


@lru_cache(maxsize=1)
def _of_process(pid: int) -> Background:
    # By process id: a fork inherits the object but not the thread that drives it.
    return Background("ssh")
