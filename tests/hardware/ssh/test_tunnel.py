from __future__ import annotations

import asyncio
import json

import pytest

from hardware.ssh.errors import CommandTimeout, Unreachable
from hardware.ssh.tunnel import http_request


async def serve_once(answer: bytes, seen: list[bytes], delay: float = 0) -> asyncio.Server:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(
            next(line.split(b":")[1] for line in head.lower().splitlines() if line.startswith(b"content-length"))
        )
        seen.append(head + await reader.readexactly(length))
        await asyncio.sleep(delay)
        writer.write(answer)
        await writer.drain()
        writer.close()

    return await asyncio.start_server(handle, "127.0.0.1", 0)


def port_of(server: asyncio.Server) -> int:
    return server.sockets[0].getsockname()[1]


async def test_a_service_that_only_listens_on_the_machine_itself_is_asked_over_the_ssh_link(server, pool):
    seen: list[bytes] = []
    chunked = b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{"a":\r\n3\r\n 1}\r\n0\r\n\r\n'
    async with await serve_once(chunked, seen) as service:
        status, body = await http_request(
            pool, server.endpoint, "POST", port_of(service), "/v1/classify", body=b'{"text": "hi"}'
        )
    assert (status, json.loads(body)) == (200, {"a": 1})
    assert seen[0].startswith(b"POST /v1/classify HTTP/1.1\r\n") and seen[0].endswith(b'{"text": "hi"}')


async def test_a_port_where_nothing_listens_names_the_machine_and_the_port(server, pool):
    async with await serve_once(b"", []) as service:
        port = port_of(service)
    with pytest.raises(Unreachable, match=f"host-1: nothing answers on its port {port}"):
        await http_request(pool, server.endpoint, "GET", port, "/healthz")


async def test_a_service_that_hangs_is_given_up(server, pool):
    async with await serve_once(b"", [], delay=5) as service:
        with pytest.raises(CommandTimeout, match=r"within 0\.3 s"):
            await http_request(pool, server.endpoint, "GET", port_of(service), "/healthz", timeout=0.3)


async def test_a_connection_that_ends_in_the_middle_of_an_answer_is_no_answer(server, pool):
    async with await serve_once(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhalf", []) as service:
        with pytest.raises(Unreachable):
            await http_request(pool, server.endpoint, "GET", port_of(service), "/healthz")
