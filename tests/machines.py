"""A real machine to work on, enrolled and ready."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from hardware.inventory.models import Credential, Machine
from tests import command_kind
from tests.sshd import PASSWORD, Server, serve


@pytest.fixture(scope="session")
def sshd() -> Iterator[Server]:
    """The SSH server in a thread of its own: the tests here are synchronous, as callers of the services are."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(serve(), loop).result(10)
    yield server
    asyncio.run_coroutine_threadsafe(_close(server), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)


async def _close(server: Server) -> None:
    server.listener.close()
    # Sessions whose command goes on, as it does on a machine.
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.wait(left or {asyncio.create_task(asyncio.sleep(0))}, timeout=5)


@pytest.fixture
def machine(sshd: Server, transactional_db: None) -> Machine:
    command_kind.register()
    return make_machine("host-1", sshd)


@pytest.fixture
def second(sshd: Server, machine: Machine) -> Machine:
    return make_machine("host-2", sshd)


def make_machine(name: str, sshd: Server) -> Machine:
    credential, _ = Credential.objects.get_or_create(name="lab", defaults={"password": PASSWORD})
    return Machine.objects.create(
        name=name,
        host="127.0.0.1",
        port=sshd.endpoint.port,
        credential=credential,
        state=Machine.State.READY,
        host_key=sshd.endpoint.host_key or "",
    )
