"""What can be done with a machine's board: give it one, confirm its certificate, read it, take it away."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from hardware.bmc.models import Bmc
from hardware.bmc.redfish import Access, BmcFailure, CertificateChanged, Redfish, Thermal, read_fingerprint
from hardware.events import announce, audit
from hardware.inventory.models import Credential, Machine

PORT = 443
AT_ONCE = 100


async def read_all(addresses: Mapping[str, tuple[str, int]]) -> dict[str, str | BmcFailure]:
    """Machine's name -> the fingerprint that its board offers, or why there is none; read side by side."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(name: str, host: str, port: int) -> str | BmcFailure:
        async with turn:
            try:
                return await read_fingerprint(name, host, port)
            except BmcFailure as wrong:
                return wrong

    found = await asyncio.gather(*(one(name, *place) for name, place in addresses.items()))
    return dict(zip(addresses, found, strict=True))


def attach(
    machine: Machine, host: str, port: int, credential: Credential, *, actor: str, fingerprint: str = "",
    read: str | BmcFailure | None = None,
) -> Bmc:  # fmt: skip
    """Give a machine a board, or another one, and read its certificate's fingerprint for a person to confirm.

    One that does not answer is kept, with its trouble: a machine may be put to work while its board is looked for.
    ``fingerprint``: what it is known to be; the same one that is offered then is confirmed at once. Another address is
    another board: what was confirmed for the old one does not hold for it. ``read`` is what ``read_all`` gave.
    """
    if read is None:
        read = asyncio.run(read_all({machine.name: (host, port)}))[machine.name]
    offered, trouble = (read, {}) if isinstance(read, str) else ("", _trouble(read))
    with transaction.atomic():
        old = Bmc.objects.filter(machine=machine).first()
        same = old is not None and (old.host, old.port) == (host, port)
        pinned = old.fingerprint if same and old else ""
        if offered and fingerprint and offered == canonical(fingerprint):
            pinned = offered
        bmc, _ = Bmc.objects.update_or_create(
            machine=machine,
            defaults={
                "host": host, "port": port, "credential": credential, "fingerprint": pinned, "trouble": trouble,
                "offered_fingerprint": "" if offered == pinned else offered,
                **({} if same else {"seen": {}, "seen_at": None}),
            },
        )  # fmt: skip
        audit(
            "bmc.attach", f"machine:{machine.name}", actor=actor, host=host, port=port, credential=credential.name,
            fingerprint=offered,
        )  # fmt: skip
        announce("fleet", "machine", machine=machine.name, state=machine.state)
    machine.bmc = bmc
    return bmc


def login_for(machine: Machine, username: str, password: str, *, actor: str) -> Credential:
    """The board's own login, kept as a credential under the machine's name; given anew it takes the old one's place."""
    with transaction.atomic():
        login, made = Credential.objects.update_or_create(
            name=f"BMC {machine.name}", defaults={"username": username, "password": password}
        )
        audit(f"credential.{'create' if made else 'update'}", f"credential:{login.name}", actor=actor)
    return login


def detach(machine: Machine, *, actor: str) -> None:
    """Take a machine's board away; what is set there stays set."""
    with transaction.atomic():
        if Bmc.objects.filter(machine=machine).delete()[0]:
            audit("bmc.detach", f"machine:{machine.name}", actor=actor)
            announce("fleet", "machine", machine=machine.name, state=machine.state)


def confirm(bmc: Bmc, fingerprint: str, *, actor: str) -> bool:
    """Pin the offered certificate if ``fingerprint`` is its; ``False`` when it is another."""
    wanted = canonical(fingerprint)
    with transaction.atomic():
        pinned = (
            Bmc.objects.filter(pk=bmc.pk, offered_fingerprint=wanted)
            .exclude(offered_fingerprint="")
            .update(fingerprint=wanted, offered_fingerprint="", trouble={})
        )
        if pinned:
            bmc.refresh_from_db()
            audit("bmc.confirm", f"machine:{bmc.machine.name}", actor=actor, fingerprint=wanted)
            announce("fleet", "machine", machine=bmc.machine.name, state=bmc.machine.state)
    return bool(pinned)


def look(bmc: Bmc, *, actor: str) -> Thermal:
    """Read the board and keep what it says. A failure is kept as its trouble, then raised (``BmcFailure``)."""
    try:
        said, thermal = asyncio.run(_read(bmc.access()))
    except BmcFailure as wrong:
        new: dict[str, Any] = {"trouble": _trouble(wrong)}
        if isinstance(wrong, CertificateChanged):
            new["offered_fingerprint"] = wrong.offered
        Bmc.objects.filter(pk=bmc.pk).update(**new)
        bmc.refresh_from_db()
        raise
    with transaction.atomic():
        Bmc.objects.filter(pk=bmc.pk).update(seen=said, seen_at=timezone.now(), trouble={})
        bmc.refresh_from_db()
        audit("bmc.read", f"machine:{bmc.machine.name}", actor=actor, mode=said["mode"], level=said["level"])
        announce("fleet", "machine", machine=bmc.machine.name, state=bmc.machine.state)
    return thermal


async def _read(access: Access) -> tuple[dict[str, Any], Thermal]:
    async with Redfish(access) as board:
        path = await board.thermal_path()
        model, firmware = await board.firmware()
        thermal = await board.thermal(path)
    return {"path": path, "model": model, "firmware": firmware, **seen(thermal)}, thermal


def seen(thermal: Thermal) -> dict[str, Any]:
    """What is kept of a reading."""
    return {
        "maker": thermal.maker,
        "mode": thermal.mode,
        "level": thermal.level,
        "left_s": thermal.left_s,
        "least": thermal.least,
        "most": thermal.most,
        "full_rpm": thermal.full_rpm,
        "fans": thermal.fans,
        "temperatures": thermal.temperatures,
    }


def canonical(fingerprint: str) -> str:
    """A SHA-256 fingerprint as it is kept, from what people paste: ``SHA256 Fingerprint=ab:cd...``, with or without
    colons.
    """
    digits = "".join(c for c in fingerprint.rpartition("=")[2] if c in "0123456789abcdefABCDEF").upper()
    return ":".join(digits[place : place + 2] for place in range(0, len(digits), 2))


def _trouble(wrong: BmcFailure) -> dict[str, str]:
    return {"code": wrong.code, "cause": str(wrong), "mend": wrong.mend}
