"""A credential's successor: the same login with a new key, for a rotation to bring to the machines."""

from __future__ import annotations

import re

from django.db import transaction
from django.utils import timezone

from hardware.events import audit
from hardware.inventory.models import Credential
from hardware.ssh.loginkeys import fingerprint, new_key


def successor(credential: Credential, name: str = "", *, actor: str) -> Credential:
    """A credential for the same user with a new ed25519 key, which no machine knows yet.

    Without ``name`` it is called after the old one and the day. The private key is made here and leaves neither the
    console nor its encrypted field. The password of the login is not taken over, but sudo goes on with the one it had.
    """
    sudo, secret = credential.sudo, credential.sudo_password
    if sudo == Credential.Sudo.LOGIN:
        sudo, secret = Credential.Sudo.OWN, credential.password
    with transaction.atomic():
        name = name or _free_name(credential.name)
        key = new_key(f"ascend-console:{re.sub(r'[^A-Za-z0-9._-]+', '-', name)}")
        made = Credential.objects.create(
            name=name, username=credential.username, private_key=key, sudo=sudo, sudo_password=secret
        )
        audit(
            "credential.new-key", f"credential:{name}", actor=actor, after=credential.name,
            fingerprint=fingerprint(key, None),
        )  # fmt: skip
    return made


def _free_name(old: str) -> str:
    base = f"{re.sub(r'-[0-9]{8}(-[0-9]+)?$', '', old)[:65]}-{timezone.now():%Y%m%d}"
    taken = set(Credential.objects.filter(name__startswith=base).values_list("name", flat=True))
    return next(name for name in (base, *(f"{base}-{n}" for n in range(2, 10_000))) if name not in taken)
