"""What the collector tells the database: which machines to watch, and whether they answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from hardware.events import announce, audit
from hardware.inventory.models import Machine
from hardware.ssh.endpoint import Endpoint
from hardware.ssh.errors import CommandTimeout, JumpHostFailed, LinkLost, SSHFailure, Unreachable
from hardware.ssh.hostkeys import HostKey

WATCHED = (Machine.State.READY, Machine.State.SILENT)
# Troubles that are over once the machine answers on a link that is open; a refused login is not.
NO_ANSWER = {wrong.code for wrong in (Unreachable, JumpHostFailed, LinkLost, CommandTimeout)}


@dataclass(frozen=True)
class Address:
    """What a watch rests on: when any of it changes, the machine is watched anew."""

    machine_id: int
    name: str
    host: str
    port: int
    host_key: str
    credential_id: int
    jump_id: int | None = None


@dataclass(frozen=True)
class Standing:
    """What the database says of a machine: whether it is silent, and whether that is for want of an answer."""

    silent: bool
    no_answer: bool


def watched() -> dict[Address, Standing]:
    """The machines that may be logged in to. Secrets are read when a link is made, not here."""
    rows = Machine.objects.filter(state__in=WATCHED).exclude(host_key="").order_by()
    fields = ("pk", "name", "host", "port", "host_key", "credential_id", "jump_id", "state", "trouble__code")
    found = {}
    for *row, state, code in rows.values_list(*fields):
        silent = state == Machine.State.SILENT
        found[Address(*row)] = Standing(silent, silent and code in NO_ANSWER)
    return found


def endpoint(machine_id: int) -> Endpoint:
    """Read anew for each link, so that a corrected password is used. Raises ``Machine.DoesNotExist``."""
    return (
        Machine.objects.select_related("credential", "jump__credential")
        .get(pk=machine_id, state__in=WATCHED)
        .endpoint()
    )


def answered(machine_id: int) -> None:
    """The machine is there: it is no longer silent."""
    _move(machine_id, Machine.State.SILENT, Machine.State.READY, {}, {})


def failed(machine_id: int, wrong: SSHFailure, again_at: datetime | None = None) -> None:
    """The machine does not answer, or does not let us in; then ``again_at`` is when it is tried next."""
    trouble = _trouble(wrong)
    if again_at is not None:
        trouble["again_at"] = again_at.isoformat(timespec="seconds")
    _move(machine_id, Machine.State.READY, Machine.State.SILENT, trouble, {})
    if again_at is not None:
        silent = Machine.objects.filter(pk=machine_id, state=Machine.State.SILENT, trouble__code=wrong.code)
        silent.update(trouble=trouble)


def blocked(machine_id: int, wrong: SSHFailure, offered: HostKey) -> None:
    """It offers another host key: nothing logs in until a person has confirmed one."""
    keys = {"offered_key": offered.public, "offered_fingerprint": offered.fingerprint}
    for state in WATCHED:
        _move(machine_id, state, Machine.State.BLOCKED, _trouble(wrong), keys)


def no_login(name: str, seconds: float) -> Unreachable:
    """That a login gets nowhere."""
    return Unreachable(name, f"it lets nobody log in: no answer for {seconds:.1f} s.")


def _trouble(wrong: SSHFailure) -> dict[str, Any]:
    return {"code": wrong.code, "cause": str(wrong), "mend": wrong.mend}


def _move(machine_id: int, before: str, state: str, trouble: dict[str, Any], more: dict[str, Any]) -> None:
    # Conditional: a person may have retired the machine, or another collector was first.
    with transaction.atomic():
        found = Machine.objects.filter(pk=machine_id, state=before)
        if found.update(state=state, trouble=trouble, **more):
            name = Machine.objects.values_list("name", flat=True).get(pk=machine_id)
            if trouble:
                audit("machine.trouble", f"machine:{name}", code=trouble["code"])
            announce("fleet", "machine", machine=name, state=state, trouble=trouble)
