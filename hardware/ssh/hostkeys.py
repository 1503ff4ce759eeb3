"""Reading a machine's host key before anyone logs in."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import asyncssh

from hardware.ssh.errors import Unreachable


@dataclass(frozen=True)
class HostKey:
    """``public`` is the OpenSSH line that is pinned; ``fingerprint`` (``SHA256:...``) is what a person compares."""

    algorithm: str
    public: str
    fingerprint: str


def describe(key: asyncssh.SSHKey) -> HostKey:
    return HostKey(key.get_algorithm(), key.export_public_key().decode().strip(), key.get_fingerprint("sha256"))


async def read_host_key(
    name: str, host: str, port: int, timeout: float = 10, *, tunnel: asyncssh.SSHClientConnection | None = None
) -> HostKey:
    """The key that the address offers now. Raises ``Unreachable``; nothing is authenticated.

    ``tunnel`` is the connection to a jump host; ``Pool.host_key`` finds it.
    """
    try:
        async with asyncio.timeout(timeout):
            key = await asyncssh.get_server_host_key(host, port, tunnel=tunnel, config=None)
    except (OSError, TimeoutError, asyncssh.Error) as wrong:
        raise Unreachable(name, f"nothing that speaks SSH answers at {host} port {port} ({reason(wrong)}).") from wrong
    if key is None:
        raise Unreachable(name, f"{host} port {port} offered no host key.")
    return describe(key)


def reason(wrong: BaseException) -> str:
    """The short form of a transport error."""
    if isinstance(wrong, TimeoutError):
        return "no answer in time"
    return (getattr(wrong, "reason", "") or getattr(wrong, "strerror", "") or type(wrong).__name__).strip()
