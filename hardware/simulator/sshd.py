"""The SSH server of a simulated machine; it runs inside the machine's namespaces."""

from __future__ import annotations

import asyncio
import fcntl
import hmac
import os
import pty
import signal
import socket
import struct
import termios
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import asyncssh

SIMULATED = "/usr/local/simulated"
ENVIRONMENT = {
    "PATH": f"{SIMULATED}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "USER": "root",
    "LOGNAME": "root",
    "SHELL": "/bin/sh",
    "LANG": "C.UTF-8",
}
# As sshd has it: asyncssh's default would let a silent client hold a place for two minutes.
LOGIN_TIMEOUT = 30


def serve(listener: socket.socket, host_key: bytes, password: str, shell: str, ready: Callable[[], None]) -> None:
    """Serve until killed. ``ready`` is called once connections are taken."""

    async def go() -> None:
        await asyncssh.create_server(
            lambda: _Login(password),
            sock=listener,
            backlog=100,
            server_host_keys=[asyncssh.import_private_key(host_key)],
            process_factory=_Session(shell),
            sftp_factory=True,
            encoding=None,
            line_editor=False,
            login_timeout=LOGIN_TIMEOUT,
        )
        ready()
        await asyncio.Event().wait()

    asyncio.run(go())


class _Login(asyncssh.SSHServer):
    def __init__(self, password: str) -> None:
        self.password = password

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self.connection = conn

    def begin_auth(self, username: str) -> bool:
        # Read for each login, as sshd does, and by its rule on who may write the file.
        keys = Path("/root/.ssh/authorized_keys")
        if keys.is_file() and not keys.stat().st_mode & 0o022:
            with suppress(ValueError):
                self.connection.set_authorized_keys(str(keys))
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return username == "root" and hmac.compare_digest(password.encode(), self.password.encode())

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        # The connection is made from here, so it ends in this machine's own network namespace.
        return True


class _Session:
    """Hands a session to a shell of its own. What it leaves behind goes on when the link is cut."""

    def __init__(self, shell: str) -> None:
        self.shell = shell

    async def __call__(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        if not Path(self.shell).exists():
            process.stderr.write(f"{self.shell}: No such file or directory\n".encode())
            process.exit(127)
            return
        command = [self.shell, "-c", process.command] if process.command else [self.shell, "-l"]
        if process.term_type:
            await self._terminal(process, command)
        else:
            await self._pipes(process, command)

    async def _pipes(self, process: asyncssh.SSHServerProcess[bytes], command: list[str]) -> None:
        # Pipes of our own: those of asyncio would kill the shell when they are closed.
        (stdin, feed), (output, stdout), (errors, stderr) = os.pipe(), os.pipe(), os.pipe()
        try:
            child = await asyncio.create_subprocess_exec(
                *command,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
                env=ENVIRONMENT,
                cwd="/root",
            )
        finally:
            for end in (stdin, stdout, stderr):
                os.close(end)
        feeding = asyncio.create_task(_feed(process, feed, child.pid))
        # The exit status must follow the last byte of output, as it does from sshd.
        await asyncio.gather(_pump(output, process.stdout), _pump(errors, process.stderr))
        status = await child.wait()
        feeding.cancel()
        _end(process, status)

    async def _terminal(self, process: asyncssh.SSHServerProcess[bytes], command: list[str]) -> None:
        leader, follower = pty.openpty()
        _resize(leader, process.term_size)

        def take_terminal() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        environment = {**ENVIRONMENT, "TERM": process.term_type or "dumb"}
        child = await asyncio.create_subprocess_exec(
            *command, stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
            env=environment, cwd="/root", preexec_fn=take_terminal,
        )  # fmt: skip
        os.close(follower)
        feeding = asyncio.create_task(_feed(process, os.dup(leader), child.pid))
        await _pump(leader, process.stdout)
        status = await child.wait()
        feeding.cancel()
        _end(process, status)


async def _pump(source: int, sink: asyncssh.SSHWriter[bytes]) -> None:
    """All of a pipe to the client. When the client is gone the pipe is closed, and its writer gets SIGPIPE."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(source, "rb", buffering=0)
    )
    try:
        while data := await reader.read(65536):
            sink.write(data)
            await sink.drain()
    except (asyncssh.Error, OSError):
        return
    finally:
        transport.close()


async def _feed(process: asyncssh.SSHServerProcess[bytes], sink: int, pid: int) -> None:
    """The client's input, and the signals that it sends, to the shell."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(
        asyncio.streams.FlowControlMixin, os.fdopen(sink, "wb", buffering=0)
    )
    writer = asyncio.StreamWriter(transport, protocol, None, loop)
    try:
        while True:
            try:
                data = await process.stdin.read(65536)
            except asyncssh.TerminalSizeChanged as change:
                _resize(transport.get_extra_info("pipe").fileno(), change.term_size)
                continue
            except (asyncssh.SignalReceived, asyncssh.BreakReceived) as sent:
                name = getattr(sent, "signal", "INT")
                os.killpg(pid, getattr(signal, f"SIG{name}", signal.SIGTERM))
                continue
            if not data:
                return
            writer.write(data)
            await writer.drain()
    except (asyncssh.Error, OSError):
        return
    finally:
        transport.close()


def _resize(terminal: int, size: tuple[int, int, int, int]) -> None:
    width, height, *pixels = size
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height or 24, width or 80, *pixels))


def _end(process: asyncssh.SSHServerProcess[bytes], status: int) -> None:
    if process.is_closing():
        return
    if status < 0:
        process.exit_with_signal(signal.Signals(-status).name.removeprefix("SIG"))
    else:
        process.exit(status)
