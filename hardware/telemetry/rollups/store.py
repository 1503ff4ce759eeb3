"""Rows of minutes into the database, so that whoever writes a period again changes nothing that is right.

A row holds its period's samples. One that is there already, from another collector or from before a restart, and the
new one become the union of both, sample by sample: nothing counts twice, whoever comes in whichever order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from django.db import connection, transaction
from django.db.models import Max, Q

from hardware.telemetry.rollups import packing
from hardware.telemetry.rollups.models import Minute
from hardware.telemetry.rollups.records import SILENT

# Rows a call: a few milliseconds, so that other writers of the process go in between.
ROWS = 100


class Row(NamedTuple):
    machine_id: int
    at: int
    state: str
    data: bytes


def store(rows: Sequence[Row]) -> None:
    """Write at most ``ROWS`` rows of different (machine, period); in one transaction. For machines that are gone,
    nothing is written.
    """
    if not rows:
        return
    with transaction.atomic():
        made = _insert(rows)
        left = {(row.machine_id, row.at): row for row in rows if (row.machine_id, row.at) not in made}
        if not left:
            return
        wanted = Q()
        for machine_id, at in left:
            wanted |= Q(machine_id=machine_id, at=at)
        for there in Minute.objects.select_for_update().filter(wanted):
            row = left[there.machine_id, there.at]
            merged = packing.union(packing.unpack(there.data), packing.unpack(row.data))
            data = packing.pack(merged)
            if data != bytes(there.data):
                Minute.objects.filter(pk=there.pk).update(state=merged.state if data else SILENT, data=data)


def _insert(rows: Sequence[Row]) -> set[tuple[int, int]]:
    """Those of the rows that were not there: no two transactions insert the same one."""
    quote = connection.ops.quote_name
    table, machines = quote(Minute._meta.db_table), quote("inventory_machine")
    # Through a join, and not by VALUES alone: a machine that was removed meanwhile must not spoil the others' rows.
    kinds = ("integer", "integer", "text", "bytea") if connection.vendor == "postgresql" else ()
    first = ", ".join(f"%s::{kind}" for kind in kinds) or "%s, %s, %s, %s"
    values = f"({first})" + ", (%s, %s, %s, %s)" * (len(rows) - 1)
    sql = (
        f"WITH given (machine_id, at, state, data) AS (VALUES {values}) "
        f"INSERT INTO {table} (machine_id, at, state, data) "
        f"SELECT given.machine_id, given.at, given.state, given.data FROM given "
        f"JOIN {machines} ON {machines}.id = given.machine_id WHERE true "
        f"ON CONFLICT (machine_id, at) DO NOTHING RETURNING machine_id, at"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [value for row in rows for value in row])
        return {(machine_id, at) for machine_id, at in cursor.fetchall()}


def newest_rows(machine_ids: Sequence[int], since: int) -> dict[int, int]:
    """When the newest row of each machine began; of those that have one since then (s since 1970)."""
    found = Minute.objects.filter(machine_id__in=machine_ids, at__gte=since)
    return dict(found.values("machine_id").annotate(newest=Max("at")).values_list("machine_id", "newest"))
