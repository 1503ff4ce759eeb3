"""The management boards that a list names."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable

from hardware.bmc.services import PORT, attach, read_all
from hardware.inventory.address import place
from hardware.inventory.lists.entries import Entry
from hardware.inventory.models import Credential, Machine


def missing_login(entry: Entry, logins: Collection[str]) -> str:
    """What is wrong with the login of an entry's board; empty when nothing is."""
    if entry.bmc and entry.bmc_credential not in logins:
        return f"{entry.name}: there is no credential called {entry.bmc_credential} for its BMC."
    return ""


def give_boards(entries: Iterable[Entry], *, actor: str) -> None:
    """Give machines that were just enrolled their boards. One whose fingerprint the list says is confirmed with it; the
    others wait for a person. What is wrong with a board is kept with it.
    """
    named = {entry.name: entry for entry in entries if entry.bmc}
    if not named:
        return
    places = {name: place(entry.bmc, PORT) for name, entry in named.items()}
    read = asyncio.run(read_all(places))
    logins = {one.name: one for one in Credential.objects.all()}
    for machine in Machine.objects.filter(name__in=named):
        entry = named[machine.name]
        attach(
            machine, *places[machine.name], logins[entry.bmc_credential], actor=actor,
            fingerprint=entry.bmc_fingerprint, read=read[machine.name],
        )  # fmt: skip
