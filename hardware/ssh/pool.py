"""One SSH connection a machine, shared by all that is done there."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import asyncssh

from hardware.ssh.endpoint import Endpoint
from hardware.ssh.errors import (
    AuthenticationRefused,
    HostKeyChanged,
    HostKeyNotPinned,
    JumpHostFailed,
    SSHFailure,
    Unreachable,
)
from hardware.ssh.hostkeys import HostKey, describe, read_host_key, reason
from hardware.ssh.loginkeys import opened

# aes128-gcm was the fastest in measurements of bulk transfer; the others are for servers that lack it.
CIPHERS = ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes128-ctr"]

# How long a jump host may take to show that it still answers, once a connection through it came to nothing.
JUMP_ANSWER_SECONDS = 3


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
        # By endpoint, and whether it is the way to others: what is done on a jump host itself has a link of its own,
        # so that nothing that goes wrong there cuts off all that lies behind it.
        self._open: dict[tuple[Endpoint, bool], asyncssh.SSHClientConnection] = {}
        self._locks: dict[tuple[Endpoint, bool], asyncio.Lock] = {}

    async def connection(self, endpoint: Endpoint, *, way: bool = False) -> asyncssh.SSHClientConnection:
        """The live connection, made now if there is none; concurrent callers share one attempt.

        ``way``: the one that machines behind this one go through, which all of them share. Raises
        ``Unreachable``, ``JumpHostFailed``, ``AuthenticationRefused``, ``HostKeyChanged`` or ``HostKeyNotPinned``.
        """
        key = (endpoint, way)
        async with self._locks.setdefault(key, asyncio.Lock()):
            live = self._open.get(key)
            if live is not None and not live.is_closed():
                return live
            try:
                made = await self._connect(endpoint)
            except AuthenticationRefused:
                # Its key may have been rotated since whoever asks has read it.
                fresh = await endpoint.renew() if endpoint.renew else None
                if fresh is None or fresh == endpoint:
                    raise
                made = await self._connect(fresh)
            self._open[key] = made
            return made

    async def host_key(self, endpoint: Endpoint, timeout: float = 10) -> HostKey:
        """The key that the machine offers now, read without logging in to it.

        Raises ``Unreachable``, and ``JumpHostFailed`` where the way to it does not hold.
        """
        tunnel = await self._way(endpoint)
        try:
            return await read_host_key(endpoint.name, endpoint.host, endpoint.port, timeout, tunnel=tunnel)
        except Unreachable as wrong:
            await self._blame(endpoint, tunnel, wrong.__cause__)
            raise

    async def _way(self, endpoint: Endpoint) -> asyncssh.SSHClientConnection | None:
        """The connection to its jump host, if it has one. What is wrong with that one is told as such."""
        if endpoint.via is None:
            return None
        try:
            return await self.connection(endpoint.via, way=True)
        except JumpHostFailed as wrong:
            # Of a chain, the one that failed is named already.
            raise JumpHostFailed(endpoint.name, wrong.what, wrong.mend) from wrong
        except SSHFailure as wrong:
            cause = f"its jump host gives no way on: {wrong}"
            raise JumpHostFailed(endpoint.name, cause, f"On {endpoint.via.name}: {wrong.mend}") from wrong

    async def _blame(
        self, endpoint: Endpoint, tunnel: asyncssh.SSHClientConnection | None, wrong: BaseException | None
    ) -> None:
        """Raise ``JumpHostFailed`` when it is the way to a machine that failed, and not the machine."""
        via = endpoint.via
        if tunnel is None or via is None:
            return
        if isinstance(wrong, asyncssh.ChannelOpenError) and wrong.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED:
            cause = f"its jump host {via.name} refuses to pass connections on."
            mend = f"Allow it in {via.name}'s sshd_config: AllowTcpForwarding yes, and PermitOpen for {endpoint.host}."
            raise JumpHostFailed(endpoint.name, cause, mend) from wrong
        dead = tunnel.is_closed()
        if not dead and isinstance(wrong, TimeoutError):
            # Nothing came back: does it still answer itself? A refusal is an answer.
            try:
                async with asyncio.timeout(JUMP_ANSWER_SECONDS):
                    with suppress(asyncssh.Error):
                        await tunnel.run("true", check=False)
            except TimeoutError:
                dead = True
                self.forget(via, way=True)
        if dead:
            cause = f"its jump host {via.name} does not answer any more."
            raise JumpHostFailed(endpoint.name, cause, f"On {via.name}: {Unreachable.mend}") from wrong

    async def _connect(self, endpoint: Endpoint) -> asyncssh.SSHClientConnection:
        if endpoint.host_key is None:
            raise HostKeyNotPinned(endpoint.name, "its host key has not been confirmed.")
        try:
            pinned = asyncssh.import_public_key(endpoint.host_key)
            login = self._login(endpoint)
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as wrong:
            raise AuthenticationRefused(endpoint.name, f"its private key can't be read ({wrong}).") from wrong
        client = _PinnedKey(pinned)
        tunnel = await self._way(endpoint)
        try:
            async with asyncio.timeout(self.connect_timeout):
                return await asyncssh.connect(
                    endpoint.host,
                    endpoint.port,
                    tunnel=tunnel,
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
            await self._blame(endpoint, tunnel, wrong)
            raise Unreachable(endpoint.name, f"no SSH connection to {endpoint.where} ({reason(wrong)}).") from wrong

    def _login(self, endpoint: Endpoint) -> dict[str, Any]:
        if endpoint.private_key:
            key = opened(endpoint.private_key, endpoint.passphrase or None)
            return {"client_keys": [key], "password": endpoint.password}
        return {"client_keys": None, "password": endpoint.password}

    def forget(self, endpoint: Endpoint, *, way: bool = False) -> None:
        """Drop a connection that turned out to be dead."""
        stale = self._open.pop((endpoint, way), None)
        if stale is not None:
            stale.abort()

    async def close(self) -> None:
        """End every connection."""
        for connection in self._open.values():
            connection.close()
        await asyncio.gather(*(c.wait_closed() for c in self._open.values()), return_exceptions=True)
        self._open.clear()
