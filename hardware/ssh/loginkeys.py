"""Private keys that the console logs in with: made, opened, and what of them may be shown."""

from __future__ import annotations

from functools import lru_cache

import asyncssh


@lru_cache(maxsize=256)
def opened(text: str, passphrase: str | None) -> asyncssh.SSHKey:
    """The key in OpenSSH or PEM form. Raises ``asyncssh.KeyImportError`` and ``KeyEncryptionError``.

    Opening a protected one takes a tenth of a second on purpose: once, not for each machine of a fleet.
    """
    return asyncssh.import_private_key(text, passphrase)


def new_key(comment: str) -> str:
    """A new ed25519 private key in OpenSSH form, without a passphrase: it is encrypted where it is stored."""
    return asyncssh.generate_private_key("ssh-ed25519", comment=comment).export_private_key().decode()


def public_line(text: str, passphrase: str | None) -> str:
    """``ssh-ed25519 AAAA… comment``: the line of a key for ``authorized_keys``."""
    return opened(text, passphrase).export_public_key().decode().strip()


def fingerprint(text: str, passphrase: str | None) -> str:
    return opened(text, passphrase).get_fingerprint("sha256")
