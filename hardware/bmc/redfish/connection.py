"""HTTPS to a board whose certificate is its own: known by its fingerprint, as a host key is.

A board's certificate is self-signed as a rule, so no authority can vouch for it. Its SHA-256 is compared after the
handshake and before a byte of a request is sent; a password never goes to anybody else.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import h11

from hardware.bmc.redfish.errors import BmcUnreachable, CertificateChanged, CertificateNotPinned

SECONDS = 10.0
# A thermal resource of a large chassis has tens of kilobytes; what is larger is no answer of a board.
LARGEST = 2 * 1024 * 1024


@dataclass(frozen=True)
class Access:
    """How to reach a machine's board. ``fingerprint`` is SHA-256 as pairs of hex; empty: nobody has confirmed one."""

    machine: str
    host: str
    port: int
    username: str
    password: str = field(repr=False)
    fingerprint: str = ""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]


def fingerprint(certificate: bytes) -> str:
    """Of a certificate in DER, as boards and ``openssl x509 -fingerprint -sha256`` show it."""
    return hashlib.sha256(certificate).digest().hex(":").upper()


async def read_fingerprint(machine: str, host: str, port: int, seconds: float = SECONDS) -> str:
    """The fingerprint of the certificate that is offered there; nothing is sent. Raises ``BmcUnreachable``."""
    async with _connected(machine, host, port, seconds) as (_, writer):
        return fingerprint(_certificate(machine, writer))


async def ask(
    access: Access, method: str, path: str, body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None, seconds: float = SECONDS,
) -> Answer:  # fmt: skip
    """One request. Raises ``BmcUnreachable``, ``CertificateNotPinned``, ``CertificateChanged``."""
    if not access.fingerprint:
        raise CertificateNotPinned(access.machine, "nobody has confirmed its BMC's certificate yet.")
    async with _connected(access.machine, access.host, access.port, seconds) as (reader, writer):
        offered = fingerprint(_certificate(access.machine, writer))
        if not hmac.compare_digest(offered, access.fingerprint):
            raise CertificateChanged(access.machine, offered)
        data = json.dumps(body).encode() if body is not None else b""
        fields = {
            "host": access.host,
            "connection": "close",
            "accept": "application/json",
            "content-type": "application/json",
            "content-length": str(len(data)),
            **(headers or {}),
        }
        talk = h11.Connection(h11.CLIENT)
        writer.write(talk.send(h11.Request(method=method, target=path, headers=list(fields.items()))) or b"")
        writer.write(talk.send(h11.Data(data=data)) or b"")
        writer.write(talk.send(h11.EndOfMessage()) or b"")
        return await _answer(access.machine, talk, reader)


@asynccontextmanager
async def _connected(
    machine: str, host: str, port: int, seconds: float
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A TLS connection, for ``seconds`` in all; the certificate is for the caller to check."""
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    secure.check_hostname = False
    secure.verify_mode = ssl.CERT_NONE
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(host, port, ssl=secure)
            yield reader, writer
    except TimeoutError as wrong:
        raise BmcUnreachable(machine, f"its BMC at {host}:{port} gave no answer within {seconds:g} s.") from wrong
    except (OSError, EOFError, h11.RemoteProtocolError) as wrong:
        said = wrong.strerror or str(wrong) if isinstance(wrong, OSError) else str(wrong)
        raise BmcUnreachable(machine, f"its BMC at {host}:{port} does not answer ({said}).") from wrong
    finally:
        if writer is not None:
            writer.close()


def _certificate(machine: str, writer: asyncio.StreamWriter) -> bytes:
    found: bytes | None = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    if not found:
        raise BmcUnreachable(machine, "its BMC showed no certificate.")
    return found


async def _answer(machine: str, talk: h11.Connection, reader: asyncio.StreamReader) -> Answer:
    status, headers, body = 0, {}, bytearray()
    while True:
        event = talk.next_event()
        if event is h11.NEED_DATA:
            talk.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Response):
            status = event.status_code
            headers = {name.decode().lower(): value.decode("latin-1") for name, value in event.headers}
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > LARGEST:
                raise BmcUnreachable(machine, "what its BMC sends is too large for an answer.")
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            break
    try:
        said = json.loads(body) if body.strip() else {}
    except ValueError as wrong:
        raise BmcUnreachable(machine, f"its BMC answered {status} with something that is no JSON.") from wrong
    return Answer(status, headers, said if isinstance(said, dict) else {})
