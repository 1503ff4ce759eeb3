"""What is wrong with a private key or the way to root, said when it is entered and not as a refused login later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import asyncssh
from django.utils.translation import gettext as _

from hardware.inventory.models import Credential

SECRETS = ("password", "private_key", "passphrase", "sudo_password")


def key_problems(text: str, passphrase: str | None) -> dict[str, str]:
    """Field -> what is wrong with it; empty for a key that opens. OpenSSH and PEM, protected or not."""
    try:
        asyncssh.import_private_key(text, passphrase or None)
    except ValueError as wrong:
        # asyncssh tells these apart only in words.
        said = str(wrong)
        if "nvalid passphrase" in said or isinstance(wrong, asyncssh.KeyEncryptionError) or "decrypt" in said:
            return {"passphrase": _("The passphrase does not open this private key.")}
        if "assphrase" in said:
            return {"passphrase": _("This private key is protected; give its passphrase.")}
        return {"private_key": _("This is no private key in OpenSSH or PEM form.")}
    return {}


def login_problems(given: Mapping[str, Any]) -> dict[str, str]:
    """Field -> what is wrong with the fields of a credential, all of them."""
    problems: dict[str, str] = {}
    if not given.get("password") and not given.get("private_key"):
        problems["password"] = _("Give a password or a private key.")
    if given.get("private_key"):
        problems |= key_problems(given["private_key"], given.get("passphrase"))
    elif given.get("passphrase"):
        problems["passphrase"] = _("A passphrase is for a private key; there is none.")
    sudo = given.get("sudo") or Credential.Sudo.NONE
    if sudo == Credential.Sudo.LOGIN and not given.get("password"):
        problems["sudo"] = _("There is no password of the login that sudo could take; give sudo its own.")
    if sudo == Credential.Sudo.OWN and not given.get("sudo_password"):
        problems["sudo_password"] = _("Give the password that sudo asks for.")
    for name in ("password", "sudo_password"):
        if "\n" in (given.get(name) or "") or "\r" in (given.get(name) or ""):
            problems[name] = _("A password has no line end in it.")
    return problems
