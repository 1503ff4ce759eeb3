"""Old rollups go, piece by piece: a transaction is over in milliseconds, and others write in between."""

from __future__ import annotations

import time

from django.conf import settings
from django.db import transaction

from hardware.telemetry.rollups.hours import made_of, save
from hardware.telemetry.rollups.models import Hour, Minute

DAY, HOUR = 86400, 3600
# Rows a transaction, and transactions a run: a minute's run removes four times what 5,000 machines add meanwhile.
PIECE = 1000
PIECES = 20


def remove_old(now: float | None = None) -> int:
    """Remove what is older than the settings say; returns how many rows."""
    now = time.time() if now is None else now
    return _remove(Minute, now, settings.MINUTES_DAYS) + _remove(Hour, now, settings.HOURS_DAYS)


def _remove(model: type[Minute] | type[Hour], now: float, days: int) -> int:
    if not days:
        return 0
    before = int(now - days * DAY) // HOUR * HOUR
    removed = 0
    for _ in range(PIECES):
        count = _piece(model, before)
        removed += count
        if count < PIECE:
            break
    return removed


def _piece(model: type[Minute] | type[Hour], before: int) -> int:
    # Rows lie in the order in which they were written, which is that of time but for what came late: the oldest are
    # found without an index on their time, and what came late is found when its turn comes.
    oldest = model.objects.order_by("pk").values_list("pk", "machine_id", "at")[:PIECE]
    old = [row for row in oldest if row[2] < before]
    if not old:
        return 0
    with transaction.atomic():
        if model is Minute:
            _keep_hours({(machine_id, at // HOUR * HOUR) for _pk, machine_id, at in old})
        model.objects.filter(pk__in=[pk for pk, *_ in old]).delete()
    return len(old)


def _keep_hours(wanted: set[tuple[int, int]]) -> None:
    """Make the hours that nobody has made: of machines that were retired in the midst of one."""
    machines, times = {machine_id for machine_id, _ in wanted}, {at for _, at in wanted}
    there = set(Hour.objects.filter(machine_id__in=machines, at__in=times).values_list("machine_id", "at"))
    hours = [hour for machine_id, at in wanted - there for hour in made_of(machine_id, at, at + HOUR)]
    if hours:
        save(hours)
