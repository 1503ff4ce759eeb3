"""What beat asks for: logs of ended jobs closed, and those removed that are kept no longer."""

from __future__ import annotations

from celery import shared_task

from jobs.logs import packing, retention


@shared_task(name="jobs.tend_logs")
def tend_logs() -> int:
    """Close logs that a worker left open; returns how many."""
    return packing.tend()


@shared_task(name="jobs.retention")
def remove_old_logs() -> int:
    """Remove logs that are too old or take too much room; returns how many."""
    return retention.remove_old()
