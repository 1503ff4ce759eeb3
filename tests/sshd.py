"""A real SSH server that hands its sessions to a real /bin/sh, and a proxy that cuts the link to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from hardware.ssh.endpoint import Endpoint
from hardware.ssh.hostkeys import describe

PASSWORD = "correct horse"


class Login(asyncssh.SSHServer):
    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return username in ("root", "ops") and password == PASSWORD

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        return True


@dataclass
class Server:
    endpoint: Endpoint
    listener: asyncssh.SSHAcceptor
    shell: str = "/bin/sh"
    # The command line that a session's command becomes; without it the shell runs it.
    session: Callable[[str], list[str]] | None = None

    async def handle(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        if not Path(self.shell).exists():
            process.stderr.write(f"{self.shell}: No such file or directory\n".encode())
            process.exit(127)
            return
        command = process.command or ""
        words = self.session(command) if self.session else [self.shell, "-c", command]
        child = await asyncio.create_subprocess_exec(*words, stdin=-1, stdout=-1, stderr=-1, start_new_session=True)
        assert child.stdin is not None
        fed = asyncio.create_task(self._feed(process.stdin, child.stdin))
        # The exit status must follow the last byte of output, as it does from sshd.
        await asyncio.gather(self._pump(child.stdout, process.stdout), self._pump(child.stderr, process.stderr))
        status = await child.wait()
        fed.cancel()
        process.exit(status)

    async def _feed(self, source: asyncssh.SSHReader[bytes], sink: asyncio.StreamWriter) -> None:
        """Not asyncssh's redirect: that ends the whole link when a command ends before it has read its input."""
        try:
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        except (asyncssh.Error, OSError):
            pass
        finally:
            sink.close()

    async def _pump(self, source: asyncio.StreamReader | None, sink: asyncssh.SSHWriter[bytes]) -> None:
        assert source is not None
        try:
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        except (asyncssh.Error, OSError):
            # The link was cut; what runs on the machine goes on.
            return


class Proxy:
    """A TCP proxy that the test owns.

    ``cut`` drops every link, ``refuse`` lets none come up; ``swallow`` takes what is sent and passes nothing on, as a
    half-open link does. ``lets`` are bytes that it passes on before it fails, one number for each time: it cuts, and at
    the last time it does what ``last`` says.
    """

    def __init__(self, port: int) -> None:
        self.target = port
        self.refuse = False
        self.swallow = False
        self.lets: list[int] = []
        self.last = "cut"
        # Bytes that it passed on, both ways.
        self.passed = 0
        self.links: list[asyncio.StreamWriter] = []

    async def start(self) -> int:
        self.server = await asyncio.start_server(self._link, "127.0.0.1", 0)
        return int(self.server.sockets[0].getsockname()[1])

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuse:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        self.links += [writer, back]
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer), return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self.swallow:
                continue
            if self._spent(len(data)):
                if self.lets or self.last == "cut":
                    self.cut()
                    return
                self.swallow = True
                continue
            self.passed += len(data)
            writer.write(data)
            await writer.drain()
        writer.close()

    def _spent(self, size: int) -> bool:
        if not self.lets:
            return False
        self.lets[0] -= size
        if self.lets[0] >= 0:
            return False
        del self.lets[0]
        return True

    def cut(self) -> None:
        for link in self.links:
            link.transport.abort()
        self.links.clear()


async def serve() -> Server:
    """Listen on a free port of 127.0.0.1 with a new host key."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    made = Server(None, None)
    made.listener = await asyncssh.create_server(
        Login, "127.0.0.1", 0, server_host_keys=[key], process_factory=made.handle, encoding=None, sftp_factory=True
    )
    made.endpoint = Endpoint(
        "host-1", "127.0.0.1", made.listener.get_port(), "root", describe(key).public, password=PASSWORD
    )
    return made
