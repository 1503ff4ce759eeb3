"""What the collector tells the database: which machines to watch, and whether they answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import transaction

from hardware.events import announce, audit
from hardware.inventory.models import Machine
from hardware.ssh.endpoint import Endpoint
from hardware.ssh.errors import CommandTimeout, LinkLost, SSHFailure, Unreachable
from hardware.ssh.hostkeys import HostKey

WATCHED = (Machine.State.READY, Machine.State.SILENT)
# Troubles that are over once the machine answers on a link that is open; a refused login is not.
NO_ANSWER = {wrong.code for wrong in (Unreachable, LinkLost, CommandTimeout)}


@dataclass(frozen=True)
class Address:
    """What a watch rests on: when any of it changes, the machine is watched anew."""

    machine_id: int
    name: str
    host: str
    port: int
    host_key: str
    credential_id: int


def watched() -> dict[Address, bool]:
    """The machines that may be logged in to, and of each whether it is silent for want of an answer.

    Secrets are read when a link is made, not here.
    """
    rows = Machine.objects.filter(state__in=WATCHED).exclude(host_key="")
    fields = ("pk", "name", "host", "port", "host_key", "credential_id", "state", "trouble__code")
    return {
        Address(*row): state == Machine.State.SILENT and code in NO_ANSWER
        for *row, state, code in rows.values_list(*fields)
    }


def endpoint(machine_id: int) -> Endpoint:
    """Read anew for each link, so that a corrected password is used. Raises ``Machine.DoesNotExist``."""
    return Machine.objects.select_related("credential").get(pk=machine_id, state__in=WATCHED).endpoint()


def answered(machine_id: int) -> None:
    """The machine is there: it is no longer silent."""
    _move(machine_id, Machine.State.SILENT, Machine.State.READY, {}, {})


def failed(machine_id: int, wrong: SSHFailure) -> None:
    """The machine does not answer, or does not let us in."""
    _move(machine_id, Machine.State.READY, Machine.State.SILENT, _trouble(wrong), {})


def blocked(machine_id: int, wrong: SSHFailure, offered: HostKey) -> None:
    """It offers another host key: nothing logs in until a person has confirmed one."""
    keys = {"offered_key": offered.public, "offered_fingerprint": offered.fingerprint}
    for state in WATCHED:
        _move(machine_id, state, Machine.State.BLOCKED, _trouble(wrong), keys)


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
