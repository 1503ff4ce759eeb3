"""What can be done with groups: make one, change it, take it away. Each is in the audit trail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import transaction

from hardware.events import audit
from hardware.inventory.groups.models import Group
from hardware.inventory.models import Machine
from hardware.inventory.selection import Selection


def make(
    name: str, *, actor: str, machines: Sequence[Machine] = (), query: Selection | None = None, note: str = ""
) -> Group:
    """A new group of these machines, or with ``query`` of whoever passes it."""
    with transaction.atomic():
        group = Group.objects.create(name=name, note=note, query=query.to_json() if query else {}, created_by=actor)
        group.machines.set(machines)
        audit("group.create", f"group:{name}", actor=actor, **_said(group, machines))
    return group


def change(
    group: Group,
    *,
    actor: str,
    machines: Sequence[Machine] | None = None,
    query: Selection | None = None,
    note: str | None = None,
) -> Group:
    """What is given takes the place of what was; machines take a query's place, and a query theirs."""
    with transaction.atomic():
        if note is not None:
            group.note = note
        if query:
            group.query = query.to_json()
            group.machines.clear()
        elif machines is not None:
            group.query = {}
            group.machines.set(machines)
        group.save()
        audit("group.update", f"group:{group.name}", actor=actor, **_said(group, group.machines.all()))
    return group


def delete(group: Group, *, actor: str) -> None:
    """Take the group away; its machines stay. What is scheduled for it fails by saying that it is gone."""
    with transaction.atomic():
        audit("group.delete", f"group:{group.name}", actor=actor)
        group.delete()


def _said(group: Group, machines: Any) -> dict[str, Any]:
    if group.query:
        return {"query": group.query, "note": group.note}
    return {"machines": sorted(machine.name for machine in machines), "note": group.note}
