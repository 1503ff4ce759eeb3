"""One short command on a machine."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import asyncssh

from hardware.ssh import root
from hardware.ssh.endpoint import Endpoint
from hardware.ssh.errors import CommandTimeout, LinkLost, NoShell
from hardware.ssh.hostkeys import reason
from hardware.ssh.pool import Pool


@dataclass(frozen=True)
class CommandResult:
    """``exit_status`` is 128 + signal for a command that a signal ended."""

    exit_status: int
    stdout: str
    stderr: str


async def execute(
    pool: Pool, endpoint: Endpoint, command: str, *, input: str | None = None, timeout: float = 60
) -> CommandResult:
    """Run ``command`` as root, or as the login user where that has no sudo, and wait for its end.

    For what is short and may be repeated. Raises ``CommandTimeout``, ``LinkLost``, ``NoShell``, ``SudoRefused`` and
    what ``Pool.connection`` raises.
    """
    connection = await pool.connection(endpoint)
    try:
        async with asyncio.timeout(timeout):
            done = await root.run(connection, endpoint, command, input)
    except TimeoutError as wrong:
        raise CommandTimeout(endpoint.name, f"a command gave no result within {timeout:g} s.") from wrong
    except asyncssh.ChannelOpenError as wrong:
        if connection.is_closed():
            raise LinkLost(endpoint.name, "the SSH link was cut.") from wrong
        raise NoShell(endpoint.name, f"it refused to start a shell ({reason(wrong)}).") from wrong
    except BrokenPipeError as wrong:
        # The channel was closed before it had read its input.
        if connection.is_closed():
            raise LinkLost(endpoint.name, "the SSH link was cut.") from wrong
        raise NoShell(endpoint.name, "it has no working /bin/sh: the session ended at once.") from wrong
    except (OSError, asyncssh.Error) as wrong:
        pool.forget(endpoint)
        raise LinkLost(endpoint.name, f"the SSH link was cut ({reason(wrong)}).") from wrong
    if done.exit_status is None and done.exit_signal is None:
        # The server closed the channel without a status: the link went down, or there was nothing to start.
        if connection.is_closed():
            raise LinkLost(endpoint.name, "the SSH link was cut.")
        raise NoShell(endpoint.name, "its shell ended without a status.")
    status = done.returncode if done.returncode is not None else 255
    return CommandResult(128 - status if status < 0 else status, str(done.stdout or ""), str(done.stderr or ""))
