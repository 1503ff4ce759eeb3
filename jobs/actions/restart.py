"""The step that restarts a machine, once, and waits until it is back."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hardware.ssh.command import execute
from hardware.ssh.endpoint import Endpoint
from hardware.ssh.errors import SSHFailure
from hardware.writing import write
from jobs.engine import steptime
from jobs.engine.checkpoints import move
from jobs.failures import CancelRequested, JobFailed
from jobs.models import JobStep
from jobs.plan import Reboot
from jobs.states import StepState

if TYPE_CHECKING:
    from jobs.actions.actions import Actions

BOOT_ID = "cat /proc/sys/kernel/random/boot_id"
ASK_AGAIN_SECONDS = 60


async def restart(
    actions: Actions, row: JobStep, action: Reboot, endpoint: Endpoint, results: dict[str, Any]
) -> dict[str, Any]:
    """Restart once: the boot id from before is stored first, so that a second worker sees whether it happened.

    ``results`` are those of the steps before it, by key. Raises ``JobFailed`` when the machine does not come back.
    """
    if action.only_if and not any(result.get(action.only_if) for result in results.values()):
        return {"skipped": True}
    pool = actions.pool
    if not row.boot_id:
        before = (await actions.patiently(row, lambda: execute(pool, endpoint, BOOT_ID))).stdout.strip()
        await write(move, actions.lease, row, StepState.RUNNING, boot_id=before)
    deadline = time.monotonic() + await steptime.left(row, action.timeout_s)
    asked: float | None = None
    while True:
        with suppress(SSHFailure):
            now = (await execute(pool, endpoint, BOOT_ID, timeout=10)).stdout.strip()
            if now and now != row.boot_id:
                return {"boot_id": now}
            # Still the boot from before: asking again can't restart it twice, whoever asked first.
            if asked is None or time.monotonic() - asked > ASK_AGAIN_SECONDS:
                asked = time.monotonic()
                await execute(pool, endpoint, action.command)
        if actions.stop.is_set():
            raise CancelRequested
        if time.monotonic() > deadline:
            seconds = steptime.limit(row, action.timeout_s)
            raise JobFailed(
                "reboot-timeout",
                f"{endpoint.name} did not come back within {seconds:g} s of its restart.",
                "Look at the machine's console or its BMC.",
            )
        await asyncio.sleep(1)
