"""Keeping readings, and holding two of them against each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from hardware.inventory.facts import Facts
from hardware.inventory.facts.difference import Difference, differences
from hardware.inventory.models import FactSnapshot, Machine
from hardware.statements import Prepared

_NEWEST = Prepared(FactSnapshot, lambda all, machine: all.filter(machine=machine).order_by("-taken_at")[:1], int)
_ONE = Prepared(FactSnapshot, lambda all, pk: all.filter(pk=pk), int)

# Of a machine that changes all the time a page shows no more at once.
PAGE = 50


@dataclass(frozen=True)
class Change:
    """``at`` is when the new facts were read first; ``since`` when the old ones were read last."""

    since: datetime
    at: datetime
    differences: list[Difference]


def keep(machine: Machine, facts: Facts) -> bool:
    """Store a reading; ``False`` when it says nothing new: then the newest one is only seen again."""
    newest = next(iter(_NEWEST.objects(machine.pk)), None)
    same = newest is not None and newest.data.get("schema_version") == facts.schema_version
    if newest is not None and same and not differences(Facts.from_json(newest.data), facts):
        _ONE.update(newest.pk, seen_at=timezone.now())
        return False
    FactSnapshot.objects.create(machine=machine, data=facts.to_json())
    return True


def changes(machine: Machine, limit: int = PAGE) -> Iterator[Change]:
    """What changed from reading to reading, the newest change first."""
    newer: FactSnapshot | None = None
    for snapshot in machine.snapshots.all()[: limit + 1]:
        if newer is not None:
            found = differences(Facts.from_json(snapshot.data), Facts.from_json(newer.data))
            # One that was stored because the console has learnt to ask for more tells no change by itself.
            if found:
                yield Change(snapshot.seen_at, newer.taken_at, found)
        newer = snapshot


def between(machine: Machine, since: datetime, until: datetime | None = None) -> Change | None:
    """The difference between what was true at two times; ``None`` when the machine was never read.

    What was true at a time is the last reading before it; before the first one, that first one.
    """
    first, last = _at(machine, since), _at(machine, until or timezone.now())
    if first is None or last is None:
        return None
    found = differences(Facts.from_json(first.data), Facts.from_json(last.data))
    return Change(first.taken_at, last.taken_at, found)


def _at(machine: Machine, moment: datetime) -> FactSnapshot | None:
    return machine.snapshots.filter(taken_at__lte=moment).first() or machine.snapshots.last()
