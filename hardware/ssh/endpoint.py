"""Where a machine is and how to log in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Endpoint:
    """One machine as the transport sees it.

    ``host_key`` is the pinned OpenSSH public key; without one nothing logs in. ``via`` is the jump host that the link
    goes through. ``sudo``: the login user is not root, and commands become root's by sudo, with ``sudo_password`` or
    without any. ``renew`` reads it anew, for a login that was refused: its key may be another by now.
    """

    name: str
    host: str
    port: int
    username: str
    host_key: str | None
    password: str | None = field(default=None, repr=False)
    private_key: str | None = field(default=None, repr=False)
    passphrase: str | None = field(default=None, repr=False)
    via: Endpoint | None = None
    sudo: bool = False
    sudo_password: str | None = field(default=None, repr=False)
    renew: Callable[[], Awaitable[Endpoint | None]] | None = field(default=None, repr=False, compare=False)

    @property
    def needs_sudo(self) -> bool:
        """Whether commands have to be made root's; a login of root's own never needs it."""
        return self.sudo and self.username != "root"

    @property
    def where(self) -> str:
        """The address, and the way to it, for messages."""
        return f"{self.host} port {self.port}" + (f" through {self.via.name}" if self.via else "")
