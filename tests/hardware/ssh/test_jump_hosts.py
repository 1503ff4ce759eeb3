"""Machines that are reached through other machines, over real SSH servers that pass connections on."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import asyncssh
import pytest
import pytest_asyncio

from hardware.ssh import runs
from hardware.ssh.command import execute
from hardware.ssh.endpoint import Endpoint
from hardware.ssh.errors import HostKeyChanged, JumpHostFailed, Unreachable
from hardware.ssh.follow import follow
from hardware.ssh.hostkeys import describe
from hardware.ssh.transfer import fetch, send
from hardware.ssh.tunnel import http_request
from tests.sshd import Login, Proxy, Server, serve


@pytest_asyncio.fixture
async def bastion() -> AsyncIterator[Server]:
    made = await serve()
    made.endpoint = replace(made.endpoint, name="bastion-1")
    yield made
    made.listener.close()


@pytest.fixture
def behind(server: Server, bastion: Server) -> Endpoint:
    return replace(server.endpoint, via=bastion.endpoint)


async def test_commands_runs_files_and_tunnels_go_through_the_jump_host(server, bastion, behind, pool, tmp_path):
    door = Proxy(bastion.endpoint.port)
    behind = replace(behind, via=replace(bastion.endpoint, port=await door.start()))
    assert (await execute(pool, behind, "echo hi")).stdout == "hi\n" and door.passed > 1000
    assert (await pool.host_key(behind)).public == server.endpoint.host_key
    source, digest = tmp_path / "blob", hashlib.sha256(b"x" * 300_000).hexdigest()
    source.write_bytes(b"x" * 300_000)
    before = door.passed
    await send(pool, behind, source, str(tmp_path / "there"), sha256=digest)
    assert door.passed - before > 300_000
    assert await fetch(pool, behind, str(tmp_path / "there"), tmp_path / "back") == digest
    got, run = bytearray(), uuid4().hex

    async def on_chunk(offset: int, data: bytes) -> None:
        got.extend(data)

    boot = await runs.prepare(pool, behind, run, "echo from behind", root=str(tmp_path / "runs"))
    await runs.start(pool, behind, run, boot, root=str(tmp_path / "runs"))
    await follow(pool, behind, run, after=0, on_chunk=on_chunk, root=str(tmp_path / "runs"))
    assert got == b"from behind\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()

    service = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = service.sockets[0].getsockname()[1]
    assert await http_request(pool, behind, "GET", port, "/") == (200, b"ok")
    service.close()
    # Two machines behind it, one link to it.
    await pool.connection(replace(behind, name="host-2"))
    assert len(door.links) == 2
    # What is done on the jump host itself does not touch the way through it.
    assert (await execute(pool, behind.via, "echo here")).stdout == "here\n"
    pool.forget(behind.via)
    assert not (await pool.connection(behind)).is_closed() and (await execute(pool, behind, "true")).exit_status == 0
    door.cut()
    door.server.close()


async def test_a_chain_of_jump_hosts_is_gone_through_in_its_order(server, bastion, behind, pool):
    inner = await serve()
    middle = replace(inner.endpoint, name="bastion-2", via=bastion.endpoint)
    assert (await execute(pool, replace(behind, via=middle), "echo far")).stdout == "far\n"
    await pool.close()
    bastion.listener.close()
    await bastion.listener.wait_closed()
    with pytest.raises(JumpHostFailed) as caught:
        await execute(pool, replace(behind, via=middle), "true")
    assert str(caught.value).startswith("host-1: its jump host gives no way on: bastion-1: no SSH connection to")
    assert caught.value.mend.startswith("On bastion-1: Check the machine's power")
    inner.listener.close()


async def test_what_is_down_is_named_the_jump_host_or_the_machine_behind_it(server, bastion, behind, pool):
    with pytest.raises(Unreachable, match=r"host-1: no SSH connection to 127.0.0.1 port 1 through bastion-1") as caught:
        await pool.connection(replace(behind, port=1))
    assert not isinstance(caught.value, JumpHostFailed)
    with pytest.raises(JumpHostFailed, match=r"host-1: .*bastion-1: 127.0.0.1 refused the login of user root"):
        await pool.connection(replace(behind, via=replace(bastion.endpoint, password="wrong")))
    with pytest.raises(JumpHostFailed, match="bastion-1: its host key has not been confirmed"):
        await pool.host_key(replace(behind, via=replace(bastion.endpoint, host_key=None)))
    other = describe(asyncssh.generate_private_key("ssh-ed25519")).public
    with pytest.raises(JumpHostFailed, match="bastion-1: the host key changed"):
        await pool.connection(replace(behind, via=replace(bastion.endpoint, host_key=other)))
    # The machine's own key is held against its own pin, not its jump host's.
    with pytest.raises(HostKeyChanged, match=r"host-1"):
        await pool.connection(replace(behind, host_key=other))


async def test_a_jump_host_that_stops_answering_is_told_from_the_machine(server, bastion, behind, pool, monkeypatch):
    monkeypatch.setattr("hardware.ssh.pool.JUMP_ANSWER_SECONDS", 0.2)
    pool.connect_timeout, pool.keepalive = 0.5, 60
    door = Proxy(bastion.endpoint.port)
    behind = replace(behind, via=replace(bastion.endpoint, port=await door.start()))
    await pool.connection(replace(behind, name="host-2"))
    door.swallow = True
    with pytest.raises(JumpHostFailed, match=r"host-1: its jump host bastion-1 does not answer any more"):
        await pool.connection(behind)
    # The next attempt makes a new link to it.
    door.swallow = False
    assert (await execute(pool, behind, "echo again")).stdout == "again\n"
    door.cut()
    door.server.close()


async def test_a_jump_host_that_passes_nothing_on_says_what_to_allow(bastion, behind, pool, monkeypatch):
    # As OpenSSH answers under AllowTcpForwarding no.
    def refuse(*_: object) -> bool:
        raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "open failed")

    monkeypatch.setattr(Login, "connection_requested", refuse)
    with pytest.raises(JumpHostFailed, match=r"host-1: its jump host bastion-1 refuses to pass") as caught:
        await pool.connection(behind)
    assert "AllowTcpForwarding yes" in caught.value.mend
