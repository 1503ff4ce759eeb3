"""Waking workers up. A lost wake-up only delays: the reconciler finds what nobody works on.

A wake-up is handed to one background thread. The first goes out at once, those of the next moments together: a message
costs both sides more than all that a job which does nothing needs from the database. Nobody waits for a broker that is
slow or away.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from functools import lru_cache

from celery import current_app
from kombu.exceptions import OperationalError

log = logging.getLogger(__name__)

GATHER_SECONDS = 0.03
# Jobs in one message: few enough that several workers share a burst.
TOGETHER = 20
# How long a process that ends waits for its last wake-ups to be sent.
LAST_SECONDS = 2.0


def wake(job_id: int, queue: str) -> None:
    """Tell a worker of the queue that there is a job. Never waits, never fails: else the reconciler does it later."""
    _waker(os.getpid()).put(job_id, queue)


class Waker:
    """The thread, and the wake-ups that wait for it."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, str]] = []
        self._changed = threading.Condition()
        self._sending = False
        threading.Thread(target=self._serve, name="wake", daemon=True).start()
        atexit.register(self.settle)

    def put(self, job_id: int, queue: str) -> None:
        with self._changed:
            self._waiting.append((job_id, queue))
            self._changed.notify_all()

    def settle(self, seconds: float = LAST_SECONDS) -> None:
        """Return when all was sent, or after so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting and not self._sending, seconds)

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                taken, self._waiting, self._sending = self._waiting, [], True
            for name in dict.fromkeys(name for _, name in taken):
                ids = [job_id for job_id, its in taken if its == name]
                for first in range(0, len(ids), TOGETHER):
                    _send(ids[first : first + TOGETHER], name)
            with self._changed:
                self._sending = False
                self._changed.notify_all()
            time.sleep(GATHER_SECONDS)


def _send(ids: list[int], name: str) -> None:
    try:
        current_app.send_task("jobs.run", args=[ids], queue=name, retry=False)
    except (OperationalError, OSError) as wrong:
        log.warning("%d jobs: no worker was told (%s); the reconciler will", len(ids), wrong)
    except Exception:
        log.exception("jobs %s: no worker was told; the reconciler will", ids)


@lru_cache(maxsize=1)
def _waker(pid: int) -> Waker:
    # By process id: a thread does not live on in a fork.
    return Waker()
