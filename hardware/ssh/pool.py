"""One SSH connection a machine, shared by all that is done there."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncssh

from hardware.ssh.endpoint import Endpoint
from hardware.ssh.errors import AuthenticationRefused, HostKeyChanged, HostKeyNotPinned, Unreachable
from hardware.ssh.hostkeys import describe, reason

# aes128-gcm was the fastest in measurements of bulk transfer; the others are for servers that lack it.
CIPHERS = ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes128-ctr"]


class _PinnedKey(asyncssh.SSHClient):
    """Accepts exactly one host key, before anything secret is sent."""

    def __init__(self, pinned: asyncssh.SSHKey) -> None:
        self.pinned = pinned
        self.offered: asyncssh.SSHKey | None = None

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        self.offered = key
        return bool(key.public_data == self.pinned.public_data)


class Pool:
    """Connections by endpoint. ``keepalive`` in seconds: three unanswered ones end a half-open link."""

    def __init__(self, keepalive: float = 15, connect_timeout: float = 10) -> None:
        self.keepalive = keepalive
        self.connect_timeout = connect_timeout
        self._open: dict[Endpoint, asyncssh.SSHClientConnection] = {}
        self._locks: dict[Endpoint, asyncio.Lock] = {}

    async def connection(self, endpoint: Endpoint) -> asyncssh.SSHClientConnection:
        """The live connection, made now if there is none; concurrent callers share one attempt.

        Raises ``Unreachable``, ``AuthenticationRefused``, ``HostKeyChanged`` or ``HostKeyNotPinned``.
        """
        async with self._locks.setdefault(endpoint, asyncio.Lock()):
            live = self._open.get(endpoint)
            if live is not None and not live.is_closed():
                return live
            self._open[endpoint] = made = await self._connect(endpoint)
            return made

    async def _connect(self, endpoint: Endpoint) -> asyncssh.SSHClientConnection:
        if endpoint.host_key is None:
            raise HostKeyNotPinned(endpoint.name, "its host key has not been confirmed.")
        try:
            pinned = asyncssh.import_public_key(endpoint.host_key)
            login = self._login(endpoint)
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as wrong:
            raise AuthenticationRefused(endpoint.name, f"its private key can't be read ({wrong}).") from wrong
        client = _PinnedKey(pinned)
        try:
            async with asyncio.timeout(self.connect_timeout):
                return await asyncssh.connect(
                    endpoint.host,
                    endpoint.port,
                    client_factory=lambda: client,
                    username=endpoint.username,
                    # An empty list trusts no key by itself, so that the client above is asked about each.
                    known_hosts=([], [], []),
                    server_host_key_algs=[pinned.get_algorithm()] if client.pinned.get_algorithm() != "ssh-rsa" else (),
                    agent_path=None,
                    config=None,
                    encryption_algs=CIPHERS,
                    compression_algs=None,
                    keepalive_interval=self.keepalive,
                    keepalive_count_max=3,
                    **login,
                )
        except (asyncssh.HostKeyNotVerifiable, asyncssh.KeyExchangeFailed) as wrong:
            offered = describe(client.offered).fingerprint if client.offered else "one of another type"
            raise HostKeyChanged(endpoint.name, describe(pinned).fingerprint, offered) from wrong
        except asyncssh.PermissionDenied as wrong:
            raise AuthenticationRefused(
                endpoint.name, f"{endpoint.host} refused the login of user {endpoint.username}."
            ) from wrong
        except (OSError, TimeoutError, asyncssh.Error) as wrong:
            where = f"{endpoint.host} port {endpoint.port}"
            raise Unreachable(endpoint.name, f"no SSH connection to {where} ({reason(wrong)}).") from wrong

    def _login(self, endpoint: Endpoint) -> dict[str, Any]:
        if endpoint.private_key:
            key = asyncssh.import_private_key(endpoint.private_key, endpoint.passphrase or None)
            return {"client_keys": [key], "password": endpoint.password}
        return {"client_keys": None, "password": endpoint.password}

    def forget(self, endpoint: Endpoint) -> None:
        """Drop a connection that turned out to be dead."""
        stale = self._open.pop(endpoint, None)
        if stale is not None:
            stale.abort()

    async def close(self) -> None:
        """End every connection."""
        for connection in self._open.values():
            connection.close()
        await asyncio.gather(*(c.wait_closed() for c in self._open.values()), return_exceptions=True)
        self._open.clear()
