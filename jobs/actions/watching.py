"""The step that waits: what was changed is left to work for a while, and then held against the time before."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.db import Error
from django.db.models import Min
from django.utils import timezone

from hardware.database import on_db, on_db_until_done
from jobs.actions.measured import measured
from jobs.engine import steptime
from jobs.engine.checkpoints import note_progress
from jobs.engine.leases import Lease
from jobs.failures import CancelRequested, LeaseLost
from jobs.models import JobStep
from jobs.plan import Watch

# How often its page is told how far it is.
TELL_SECONDS = 5.0


async def watch(lease: Lease, row: JobStep, action: Watch, stop: asyncio.Event) -> dict[str, Any]:
    """Wait until the step is ``action.seconds`` old, whichever worker began it; then ``watched`` tells of its machine
    what was measured before the job touched it and meanwhile.

    Raises ``CancelRequested`` when the job is asked to stop meanwhile.
    """
    while (left := action.seconds - await steptime.age(row)) > 0:
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), min(left, TELL_SECONDS))
            raise CancelRequested
        # That it can't be told is no failure of the watch.
        with suppress(Error, LeaseLost):
            await on_db(note_progress, lease, row, min(1.0, 1 - (left - TELL_SECONDS) / action.seconds))
    return {"watched": await on_db_until_done(compared, row, action)}


def compared(row: JobStep, action: Watch) -> dict[str, Any]:
    """``figures`` by name, each with ``before`` and ``after``, ``None`` where nothing was measured; ``samples`` says
    of how many readings they are. Of a simulated machine they are nothing that an NPU did.
    """
    assert row.machine is not None
    mine = row.job.steps.filter(machine=row.machine)
    touched = mine.aggregate(first=Min("started_at"))["first"] or timezone.now()
    began = mine.filter(pk=row.pk).values_list("started_at", flat=True).get() or timezone.now()
    span = timedelta(seconds=action.seconds)
    before = measured(row.machine, action.figures, action.npus, touched - span, touched)
    after = measured(row.machine, action.figures, action.npus, began, began + span)
    return {
        "machine": row.machine.name,
        "seconds": action.seconds,
        "simulated": row.machine.simulated,
        "samples": {"before": before["samples"], "after": after["samples"]},
        "figures": [{"name": name, "before": before[name], "after": after[name]} for name in action.figures],
    }
