"""What can be done with machines: enroll, confirm a fingerprint, probe."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from hardware.database import on_db
from hardware.events import announce, audit
from hardware.inventory.changes.services import keep
from hardware.inventory.facts import PROBE, Facts, read
from hardware.inventory.jumps import check_jump, check_retiring
from hardware.inventory.models import Credential, Machine
from hardware.ssh import background
from hardware.ssh.command import execute
from hardware.ssh.endpoint import Endpoint
from hardware.ssh.errors import HostKeyChanged, NoShell, SSHFailure
from hardware.ssh.hostkeys import HostKey, read_host_key
from hardware.ssh.pool import Pool
from hardware.statements import Prepared
from hardware.writing import write_once

# The console takes some 6 ms of processor for each, a machine with NPUs a second or two to answer.
PROBES_AT_ONCE = 50


class MachineRetired(SSHFailure):
    """Nobody asks a machine that was taken out of use."""

    code = "machine-retired"
    mend = "Take it into use again first."
    # HTTP, as other refusals have it.
    status = 409


class AddressSettled(ValueError):
    """An address stays once a host key was confirmed for it. ``str()`` is one sentence in the reader's language."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(
            _(
                "%(machine)s has had its host key confirmed, which belongs to this address: retire it, and add the "
                "machine at the other address under another name."
            )
            % {"machine": machine.name}
        )


_IN_USE = Prepared(Machine, lambda machines, pk: machines.filter(pk=pk).exclude(state=Machine.State.RETIRED), int)


def offered_key(name: str, host: str, port: int = 22, jump: Machine | None = None) -> HostKey:
    """The key that a machine offers, read before anything logs in to it; ``jump`` is what it is reached through.

    Raises ``Unreachable``, and ``JumpHostFailed`` where that one is what does not answer.
    """
    if jump is None:
        return asyncio.run(read_host_key(name, host, port))
    return background.call(Pool.host_key, Endpoint(name, host, port, "", None, via=jump.endpoint()))


def enroll(
    *, actor: str, key: HostKey | None = None, new_credential: dict[str, str] | None = None, **fields: Any
) -> Machine:
    """A new machine, whose key waits for a person to confirm it. Raises ``Unreachable`` and ``JumpRefused``; nothing is
    stored then.

    ``key`` is what ``offered_key`` read, for a caller that must not wait for the machine here. ``new_credential`` are
    the fields of a credential that is made with it.
    """
    key = key or offered_key(fields["name"], fields["host"], fields.get("port", 22), fields.get("jump"))
    with transaction.atomic():
        if new_credential is not None:
            fields["credential"] = _new_credential(new_credential, actor)
        check_jump(fields["name"], fields.get("jump"))
        machine = Machine.objects.create(**fields, offered_key=key.public, offered_fingerprint=key.fingerprint)
        audit("machine.enroll", f"machine:{machine.name}", actor=actor, host=machine.host, fingerprint=key.fingerprint)
        announce("fleet", "machine", machine=machine.name, state=machine.state)
    return machine


def confirm(machine: Machine, fingerprint: str, *, actor: str) -> bool:
    """Pin the offered key if ``fingerprint`` is its fingerprint; ``False`` when it is another."""
    with transaction.atomic():
        pinned = (
            Machine.objects.filter(pk=machine.pk, offered_fingerprint=fingerprint)
            .exclude(offered_key="")
            .update(
                state=Machine.State.READY,
                host_key=machine.offered_key,
                host_key_fingerprint=fingerprint,
                offered_key="",
                offered_fingerprint="",
                trouble={},
            )
        )
        if pinned:
            machine.refresh_from_db()
            audit("machine.confirm-key", f"machine:{machine.name}", actor=actor, fingerprint=fingerprint)
            announce("fleet", "machine", machine=machine.name, state=machine.state)
    return bool(pinned)


def _new_credential(fields: dict[str, str], actor: str) -> Credential:
    made = Credential.objects.create(**fields)
    audit("credential.create", f"credential:{made.name}", actor=actor)
    return made


def moved_key(machine: Machine, fields: dict[str, Any]) -> HostKey | None:
    """The key that is offered at the other address in ``fields``; ``None`` where they hold no other.

    Raises ``AddressSettled`` and what ``offered_key`` raises.
    """
    host, port = fields.get("host", machine.host), fields.get("port", machine.port)
    if (host, port) == (machine.host, machine.port):
        return None
    if machine.address_settled:
        raise AddressSettled(machine)
    return offered_key(machine.name, host, port, fields.get("jump", machine.jump))


def change(
    machine: Machine,
    *,
    actor: str,
    key: HostKey | None = None,
    new_credential: dict[str, str] | None = None,
    **fields: Any,
) -> None:
    """Give a machine another site, labels, jump host, or credential, which may be a new one; and another address, while
    nobody has confirmed its host key: the one that is offered there waits for that then.

    ``key`` is what ``moved_key`` read, for a caller that must not wait for the machine here. Raises ``JumpRefused``,
    ``AddressSettled`` and ``Unreachable``; nothing is stored then.
    """
    key = key or moved_key(machine, fields)
    with transaction.atomic():
        if key is not None:
            _move(machine, fields.get("host", machine.host), fields.get("port", machine.port), key)
        if new_credential is not None:
            fields["credential"] = _new_credential(new_credential, actor)
        if not fields:
            return
        if "jump" in fields:
            # Here once more: two that are given to each other at the same time would make a loop.
            check_jump(machine.name, fields["jump"])
        for name, value in fields.items():
            setattr(machine, name, value)
        machine.save(update_fields=list(fields))
        shown = {name: str(value or "") if name in ("credential", "jump") else value for name, value in fields.items()}
        if key is not None:
            shown["fingerprint"] = key.fingerprint
        audit("machine.update", f"machine:{machine.name}", actor=actor, **shown)
        announce("fleet", "machine", machine=machine.name, state=machine.state)


def _move(machine: Machine, host: str, port: int, key: HostKey) -> None:
    """Host, port and key in one statement: whoever confirms at the same time confirms none of another address."""
    unsettled = Machine.objects.filter(pk=machine.pk, host_key="", facts_at=None)
    told = {"offered_key": key.public, "offered_fingerprint": key.fingerprint, "trouble": {}}
    if not unsettled.update(host=host, port=port, **told):
        raise AddressSettled(machine)
    unsettled.exclude(state=Machine.State.RETIRED).update(state=Machine.State.NEW)
    machine.refresh_from_db()


def retire(machine: Machine, *, actor: str) -> Machine:
    """Take a machine out of use: nothing logs in there any more. Its history stays.

    Raises ``JumpRefused`` while machines in use lie behind it.
    """
    check_retiring(machine)
    return _put(machine, Machine.State.RETIRED, "machine.retire", actor)


def restore(machine: Machine, *, actor: str) -> Machine:
    """Take a retired machine into use again, as it was: with its key pinned, or waiting for a person to confirm one."""
    if machine.state != Machine.State.RETIRED:
        return machine
    waits = Machine.State.BLOCKED if machine.offered_key else Machine.State.READY
    return _put(machine, waits if machine.host_key else Machine.State.NEW, "machine.restore", actor)


def _put(machine: Machine, state: str, action: str, actor: str) -> Machine:
    with transaction.atomic():
        Machine.objects.filter(pk=machine.pk).update(state=state)
        machine.refresh_from_db()
        audit(action, f"machine:{machine.name}", actor=actor)
        announce("fleet", "machine", machine=machine.name, state=machine.state)
    return machine


async def probe(pool: Pool, machine: Machine) -> Facts:
    """Read the machine's facts and store them. A failure is stored as the machine's trouble, then raised.

    Raises ``MachineRetired`` too, which is none.
    """
    if machine.state == Machine.State.RETIRED:
        raise MachineRetired(machine.name, "it is retired; nothing logs in there.")
    endpoint = await on_db(machine.endpoint)
    try:
        # Logged in first, so that the clock is not held against the time that this took.
        await pool.connection(endpoint)
        asked = time.time()
        result = await execute(pool, endpoint, PROBE, timeout=60)
        answered = time.time()
    except HostKeyChanged as wrong:
        offered = await pool.host_key(endpoint)
        await on_db(_store_trouble, machine, wrong, Machine.State.BLOCKED, offered)
        raise
    except SSHFailure as wrong:
        await on_db(_store_trouble, machine, wrong, Machine.State.SILENT, None)
        raise
    facts = read(result.stdout, asked, answered)
    if facts.hostname is None and facts.kernel is None:
        failure = NoShell(machine.name, "it has no working /bin/sh: the probe printed nothing.")
        await on_db(_store_trouble, machine, failure, Machine.State.SILENT, None)
        raise failure
    for name, value in (await write_once(_store_facts, machine, facts)).items():
        setattr(machine, name, value)
    return facts


async def probe_all(pool: Pool, machines: Sequence[Machine]) -> list[SSHFailure]:
    """Probe many, some at a time; returns what failed. Each failure is stored as its machine's trouble."""
    turn = asyncio.Semaphore(PROBES_AT_ONCE)

    async def one(machine: Machine) -> SSHFailure | None:
        async with turn:
            try:
                await probe(pool, machine)
            except SSHFailure as wrong:
                return wrong
            return None

    outcomes = await asyncio.gather(*(one(machine) for machine in machines))
    return [wrong for wrong in outcomes if wrong is not None]


def _store_facts(machine: Machine, facts: Facts) -> dict[str, Any]:
    """What the machine's row says of it now."""
    now: dict[str, Any] = {
        "facts": facts.to_json(), "facts_at": timezone.now(), "simulated": facts.simulated,
        "state": Machine.State.READY, "trouble": {},
    }  # fmt: skip
    with transaction.atomic():
        keep(machine, facts)
        if not _IN_USE.update(machine.pk, **now):
            now = Machine.objects.filter(pk=machine.pk).values(*now).get()
        audit("machine.probe", f"machine:{machine.name}")
        announce("fleet", "machine", machine=machine.name, state=now["state"], npus=len(facts.npus))
    return now


def _store_trouble(machine: Machine, wrong: SSHFailure, state: str, offered: HostKey | None) -> None:
    with transaction.atomic():
        values: dict[str, Any] = {
            "state": state,
            "trouble": {"code": wrong.code, "cause": str(wrong), "mend": wrong.mend},
        }
        if offered is not None:
            values |= {"offered_key": offered.public, "offered_fingerprint": offered.fingerprint}
        # A person may have retired it while it was asked.
        told = Machine.objects.filter(pk=machine.pk).exclude(state=Machine.State.RETIRED).update(**values)
        machine.refresh_from_db()
        if told:
            audit("machine.trouble", f"machine:{machine.name}", code=wrong.code)
            announce("fleet", "machine", machine=machine.name, state=state, trouble=values["trouble"])
