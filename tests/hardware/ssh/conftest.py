from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from hardware.ssh.pool import Pool
from tests.sshd import Proxy, Server, serve


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    made = await serve()
    yield made
    made.listener.close()
    await made.listener.wait_closed()


@pytest_asyncio.fixture
async def pool() -> AsyncIterator[Pool]:
    made = Pool(keepalive=2, connect_timeout=5)
    yield made
    await made.close()


@pytest_asyncio.fixture
async def proxy(server: Server) -> AsyncIterator[Proxy]:
    made = Proxy(server.endpoint.port)
    made.port = await made.start()
    yield made
    made.cut()
    made.server.close()
