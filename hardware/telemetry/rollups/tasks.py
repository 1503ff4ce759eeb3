"""What beat asks for."""

from __future__ import annotations

from celery import shared_task

from hardware.telemetry.rollups import retention


@shared_task(name="telemetry.retention")
def remove_old_rollups() -> int:
    """Remove rollups that are kept no longer; returns how many rows."""
    return retention.remove_old()
