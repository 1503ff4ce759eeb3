"""Where a machine is and how to log in."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Endpoint:
    """One machine as the transport sees it.

    ``host_key`` is the pinned OpenSSH public key; without one nothing logs in.
    """

    name: str
    host: str
    port: int
    username: str
    host_key: str | None
    password: str | None = field(default=None, repr=False)
    private_key: str | None = field(default=None, repr=False)
    passphrase: str | None = field(default=None, repr=False)
