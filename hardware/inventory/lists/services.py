"""Enrolling the machines of a list, listing those that there are, and looking for machines in a range of addresses."""

from __future__ import annotations

import asyncio
import codecs
import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from django.db import IntegrityError

from hardware.database import on_db
from hardware.events import audit
from hardware.inventory.address import placed
from hardware.inventory.jumps import JumpRefused
from hardware.inventory.lists import ansible, table
from hardware.inventory.lists.boards import give_boards, missing_login
from hardware.inventory.lists.entries import Entry, Listing, ListRefused, waves
from hardware.inventory.models import Credential, Machine
from hardware.inventory.services import confirm, enroll
from hardware.ssh import background
from hardware.ssh.endpoint import Endpoint
from hardware.ssh.errors import SSHFailure
from hardware.ssh.hostkeys import HostKey
from hardware.ssh.pool import Pool

AT_ONCE = 100
# A scan is for a management network, not for the whole site.
MOST_ADDRESSES = 1024
SCAN_SECONDS = 3.0

FORMATS = {"csv": (table.read_csv, table.write_csv), "ini": (ansible.read_ini, ansible.write_ini),
           "yaml": (ansible.read_yaml, ansible.write_yaml)}  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What became of an entry: ``confirmed`` (added, its key is the known one), ``added`` (its key waits for a person),
    ``there`` (a machine of that name exists; nothing was changed), ``failed`` (nothing was stored)."""

    name: str
    done: Literal["confirmed", "added", "there", "failed"]
    cause: str = ""
    mend: str = ""


@dataclass(frozen=True)
class Found:
    """An address where SSH answers. ``machine`` is the name of the machine that is enrolled with it, or empty."""

    host: str
    port: int
    fingerprint: str
    machine: str


def read_list(text: str, form: str) -> Listing:
    """The machines of a list in one of ``FORMATS``. Raises ``ListRefused``."""
    if text.lstrip().startswith("$ANSIBLE_VAULT"):
        raise ListRefused("The list is encrypted by ansible-vault; import what ansible-vault view prints of it.")
    return FORMATS[form][0](text)


def decoded(data: bytes) -> str:
    """A file's text: UTF-8 with or without a mark, UTF-16 with one, or what a Chinese spreadsheet writes. Raises
    ``ListRefused``.
    """
    marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ["utf-16"] if marked else ["utf-8-sig", "gb18030"]:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise ListRefused("The file is no text in UTF-8 or GB 18030.")


def guess(text: str) -> str:
    """Which of ``FORMATS`` a text most likely is."""
    lines = [line for line in text.splitlines() if line.strip() and line.strip()[0] not in "#;"]
    first = lines[0].strip() if lines else ""
    if first.lower().startswith("sep=") or first.strip().lower() == "name":
        return "csv"
    if first == "---" or first.endswith(":") or first.startswith("{"):
        return "yaml"
    # A table without the column that it needs is still one, and is told so.
    return "csv" if re.search(r"[,;\t]", first) and "=" not in first and not first.startswith("[") else "ini"


def without_login(entries: Iterable[Entry], credential: Credential | None) -> list[Entry]:
    """Those that name no credential that there is, where none was chosen for the rest."""
    names = set(Credential.objects.values_list("name", flat=True))
    return [one for one in entries if (one.credential not in names if one.credential else credential is None)]


def enroll_all(entries: Sequence[Entry], credential: Credential | None, *, actor: str) -> list[Outcome]:
    """Enroll each; ``credential`` is for those that name none.

    The host keys are read side by side, those of jump hosts before those of what lies behind them. A machine that does
    not answer is not stored; the others are.
    """
    logins = {one.name: one for one in Credential.objects.all()}
    states = Machine.objects.filter(name__in=[one.name for one in entries]).values_list("name", "state")
    done = {name: _there(name, state) for name, state in states}
    for wave in waves([one for one in entries if one.name not in done]):
        ways = [_jump(entry) for entry in wave]
        keys = background.call(_read_keys, wave, ways) if any(ways) else asyncio.run(_keys_without_a_pool(wave))
        for entry, way, key in zip(wave, ways, keys, strict=True):
            login = logins.get(entry.credential) or credential
            if said := missing_login(entry, logins):
                done[entry.name] = Outcome(entry.name, "failed", said, "Store the credential first.")
                continue
            done[entry.name] = _enroll(entry, key, way, login, actor)
    give_boards([one for one in entries if done[one.name].done in ("confirmed", "added")], actor=actor)
    made = [done[entry.name] for entry in entries]
    counts = {what: sum(1 for one in made if one.done == what) for what in ("confirmed", "added", "there", "failed")}
    audit("machines.import", "fleet", actor=actor, **counts)
    return made


def _there(name: str, state: str) -> Outcome:
    if state != Machine.State.RETIRED:
        return Outcome(name, "there")
    return Outcome(name, "there", f"{name} is retired.", "Take it into use again on its page; its history is there.")


def _jump(entry: Entry) -> Machine | None:
    """The machine that an entry goes through, by its name or its address, if there is one."""
    if not entry.jump:
        return None
    machines = Machine.objects.exclude(state=Machine.State.RETIRED).select_related("credential", "jump__credential")
    return machines.filter(name=entry.jump).first() or machines.filter(host=entry.jump).order_by("id").first()


def _enroll(
    entry: Entry, key: HostKey | SSHFailure, jump: Machine | None, login: Credential | None, actor: str
) -> Outcome:
    if entry.jump and jump is None:
        said = f"{entry.name}: there is no machine {entry.jump} to go through."
        return Outcome(entry.name, "failed", said, "Add the jump host first, or put it into the list.")
    if isinstance(key, SSHFailure):
        return Outcome(entry.name, "failed", str(key), key.mend)
    if login is None:
        said = f"{entry.name}: there is no credential called {entry.credential}." if entry.credential else ""
        return Outcome(entry.name, "failed", said or f"{entry.name} names no credential.", "Choose a credential.")
    fields: dict[str, Any] = {"host": entry.host, "port": entry.port, "site": entry.site, "labels": list(entry.labels)}
    fields["jump"] = jump
    try:
        machine = enroll(actor=actor, key=key, name=entry.name, credential=login, **fields)
    except JumpRefused as wrong:
        return Outcome(entry.name, "failed", str(wrong), "Name another jump host, or none.")
    except IntegrityError:
        # Somebody else was quicker.
        return Outcome(entry.name, "there")
    if not entry.fingerprint:
        return Outcome(entry.name, "added")
    if confirm(machine, entry.fingerprint.rstrip("="), actor=actor):
        return Outcome(entry.name, "confirmed")
    said = f"{entry.name} offers {key.fingerprint}, the list says {entry.fingerprint}."
    return Outcome(entry.name, "added", said, "Find out which is right before you confirm it.")


def listed(machines: Iterable[Machine]) -> list[Entry]:
    """Machines as entries of a list, with the fingerprints that are pinned."""
    return [
        Entry(
            one.name,
            one.host,
            one.port,
            one.site,
            tuple(one.labels),
            one.credential.name,
            one.host_key_fingerprint,
            jump=one.jump.name if one.jump else "",
            bmc=placed(board.host, board.port) if (board := getattr(one, "bmc", None)) else "",
            bmc_credential=board.credential.name if board else "",
            bmc_fingerprint=board.fingerprint if board else "",
        )
        for one in machines
    ]


def addresses(text: str) -> list[str]:
    """``10.0.0.0/24`` or ``10.0.0.10-10.0.0.50`` -> its addresses. Raises ``ListRefused``, also for too many."""
    try:
        if "-" in text:
            low, high = (ipaddress.ip_address(part.strip()) for part in text.split("-", 1))
            if low.version != high.version or int(high) < int(low):
                raise ListRefused(f"{text} runs backwards.")
            size, first = int(high) - int(low) + 1, low
        else:
            network = ipaddress.ip_network(text.strip(), strict=False)
            # The address of the network itself and the broadcast address are nobody's.
            edge = 1 if network.version == 4 and network.num_addresses > 2 else 0
            size, first = network.num_addresses - 2 * edge, network.network_address + edge
    except ValueError as wrong:
        if isinstance(wrong, ListRefused):
            raise
        raise ListRefused(f"{text} is no range of addresses: write 10.0.0.0/24 or 10.0.0.10-10.0.0.50.") from wrong
    if size > MOST_ADDRESSES:
        raise ListRefused(f"{text} has {size} addresses; {MOST_ADDRESSES} at most are looked through at once.")
    return [str(first + step) for step in range(size)]


def scan(text: str, port: int, *, actor: str) -> list[Found]:
    """Ask every address of a range for a host key, and log in nowhere; returns those that gave one.

    Raises ``ListRefused`` for what is no range, or a range too large.
    """
    hosts = addresses(text)
    keys = asyncio.run(_keys_without_a_pool([Entry(host, host, port) for host in hosts], SCAN_SECONDS))
    known = {(host, at): name for host, at, name in Machine.objects.values_list("host", "port", "name")}
    found = [
        Found(host, port, key.fingerprint, known.get((host, port), ""))
        for host, key in zip(hosts, keys, strict=True)
        if isinstance(key, HostKey)
    ]
    audit("network.scan", "fleet", actor=actor, range=text, port=port, addresses=len(hosts), found=len(found))
    return found


async def _keys_without_a_pool(entries: Sequence[Entry], seconds: float = 10) -> list[HostKey | SSHFailure]:
    return await _read_keys(Pool(), entries, [None] * len(entries), seconds)


async def _read_keys(
    pool: Pool, entries: Sequence[Entry], ways: Sequence[Machine | None], seconds: float = 10
) -> list[HostKey | SSHFailure]:
    """``ways`` are the machines that they are reached through."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(entry: Entry, way: Machine | None) -> HostKey | SSHFailure:
        via = await on_db(way.endpoint) if way else None
        async with turn:
            try:
                return await pool.host_key(Endpoint(entry.name, entry.host, entry.port, "", None, via=via), seconds)
            except SSHFailure as wrong:
                return wrong

    return await asyncio.gather(*(one(entry, way) for entry, way in zip(entries, ways, strict=True)))
