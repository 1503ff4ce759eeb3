"""HTTP to a port of the machine, through the SSH link: nothing has to be opened in a firewall."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import asyncssh
import h11

from hardware.ssh.endpoint import Endpoint
from hardware.ssh.errors import CommandTimeout, LinkLost, Unreachable
from hardware.ssh.pool import Pool


async def http_request(
    pool: Pool,
    endpoint: Endpoint,
    method: str,
    port: int,
    path: str,
    *,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    timeout: float = 10,
) -> tuple[int, bytes]:
    """One request to 127.0.0.1:``port`` on the machine; returns status and body.

    Raises ``Unreachable`` when nothing listens there, ``LinkLost``, ``CommandTimeout``, and what ``Pool.connection``
    raises.
    """
    connection = await pool.connection(endpoint)
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await connection.open_connection("127.0.0.1", port, encoding=None)
            try:
                talk = h11.Connection(h11.CLIENT)
                fields = {
                    "host": "127.0.0.1",
                    "connection": "close",
                    "content-length": str(len(body)),
                    **(headers or {}),
                }
                writer.write(talk.send(h11.Request(method=method, target=path, headers=list(fields.items()))) or b"")
                writer.write(talk.send(h11.Data(data=body)) or b"")
                writer.write(talk.send(h11.EndOfMessage()) or b"")
                return await _response(talk, reader)
            finally:
                writer.close()
    except TimeoutError as wrong:
        raise CommandTimeout(endpoint.name, f"port {port} gave no answer within {timeout:g} s.") from wrong
    except (asyncssh.Error, OSError, h11.RemoteProtocolError) as wrong:
        if connection.is_closed():
            raise LinkLost(endpoint.name, "the SSH link was cut.") from wrong
        raise Unreachable(
            endpoint.name, f"nothing answers on its port {port}.", "Look at the log of the service on the machine."
        ) from wrong


async def _response(talk: h11.Connection, reader: asyncssh.SSHReader[bytes]) -> tuple[int, bytes]:
    status, body = 0, bytearray()
    while True:
        event = talk.next_event()
        if event is h11.NEED_DATA:
            talk.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            return status, bytes(body)
