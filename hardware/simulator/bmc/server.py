"""The process that serves the boards of a fleet, each on a port of its own with a certificate of its own."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import json
import os
import signal
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import h11
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hardware.simulator import namespaces
from hardware.simulator.bmc.board import Board
from hardware.simulator.faults import standing
from hardware.simulator.spec import Home, MachineSpec, write_whole

IDLE_SECONDS = 60


def certificate(home: Home, spec: MachineSpec) -> str:
    """Make the board's key and self-signed certificate, once; returns its fingerprint (SHA-256, pairs of hex)."""
    if not home.bmc_certificate.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"bmc-{spec.name}")])
        now = datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=3650))
            .sign(key, hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_whole(home.bmc_certificate, (private + made.public_bytes(serialization.Encoding.PEM)).decode())
    shown = x509.load_pem_x509_certificate(home.bmc_certificate.read_bytes())
    return hashlib.sha256(shown.public_bytes(serialization.Encoding.DER)).digest().hex(":").upper()


def start(boards: Sequence[tuple[Home, MachineSpec, socket.socket]], password: str) -> int:
    """Fork the process; returns its pid. It ends with the fleet."""
    fleet = os.getpid()
    pid = os.fork()
    if pid:
        for _, _, listener in boards:
            listener.close()
        return pid
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        namespaces.die_with_parent(fleet)
        asyncio.run(_serve([(Board(home, spec, password), listener) for home, spec, listener in boards]))
    finally:
        os._exit(1)


async def _serve(boards: Sequence[tuple[Board, socket.socket]]) -> None:
    for board, listener in boards:
        secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        secure.load_cert_chain(board.home.bmc_certificate)
        await asyncio.start_server(_handler(board), sock=listener, ssl=secure)
    await asyncio.Event().wait()


def _handler(board: Board) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, h11.RemoteProtocolError, TimeoutError):
            if "bmc-away" not in standing(board.home.simulated):
                async with asyncio.timeout(IDLE_SECONDS):
                    await _talk(board, reader, writer)
        writer.close()

    return handle


async def _talk(board: Board, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One request a connection."""
    talk = h11.Connection(h11.SERVER)
    request: h11.Request | None = None
    body = bytearray()
    while True:
        event = talk.next_event()
        if event is h11.NEED_DATA:
            talk.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage) and request is not None:
            break
        else:
            return
    headers = {name.decode().lower(): value.decode("latin-1") for name, value in request.headers}
    status, fields, said = board.answer(request.method.decode(), request.target.decode(), headers, bytes(body))
    data = json.dumps(said).encode()
    fields |= {"content-type": "application/json", "content-length": str(len(data)), "connection": "close"}
    writer.write(talk.send(h11.Response(status_code=status, headers=list(fields.items()))) or b"")
    writer.write(talk.send(h11.Data(data=data)) or b"")
    writer.write(talk.send(h11.EndOfMessage()) or b"")
    await writer.drain()
