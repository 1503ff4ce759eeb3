"""What beat and the outbox ask for."""

from __future__ import annotations

import threading

from celery import shared_task

from console.notifications.delivering import deliver_due, forget_old

# A destination that takes ten seconds to fail must not take every thread of the worker.
_one = threading.Lock()


@shared_task(name="console.notify")
def deliver() -> int:
    """Send what is due, unless this process does so already; returns how many were delivered."""
    if not _one.acquire(blocking=False):
        return 0
    try:
        return deliver_due()
    finally:
        _one.release()


@shared_task(name="console.notifications.retention")
def remove_old_deliveries() -> int:
    """Remove deliveries that are kept no longer; returns how many."""
    return forget_old()
