"""The link to a machine, in the hands of a test whose worker is another process."""

from __future__ import annotations

import asyncio
import threading

from hardware.inventory.models import Machine
from tests.sshd import Proxy


class Link:
    """A proxy in a thread of its own."""

    def __init__(self, machine: Machine) -> None:
        self.proxy = Proxy(machine.port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        machine.port = asyncio.run_coroutine_threadsafe(self.proxy.start(), self._loop).result(60)
        machine.save()

    def lets(self, *sizes: int, then: str = "half-open") -> None:
        """Pass on so many bytes, then fail as ``Proxy`` says."""
        self.proxy.last = then
        self.proxy.lets = list(sizes)

    def fail(self) -> None:
        """Nothing gets a link."""
        self.proxy.refuse = True
        self._loop.call_soon_threadsafe(self.proxy.cut)

    def mend(self) -> None:
        """A link comes up again; those that swallowed something are gone."""
        self.proxy.refuse = self.proxy.swallow = False
        self.proxy.lets = []
        self._loop.call_soon_threadsafe(self.proxy.cut)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    async def _end(self) -> None:
        self.proxy.cut()
        self.proxy.server.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:
            await asyncio.wait(left, timeout=5)
