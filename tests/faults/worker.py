"""A worker process for the fault tests: takes one job of the test's database and carries it out."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from datetime import timedelta

import django


def main(job_id: int, kind: str) -> None:
    django.setup()
    set_clock(int(os.environ.get("CONSOLE_CLOCK_DAYS", "0")))
    from hardware.ssh.pool import Pool
    from jobs import registry
    from jobs.runner import Runner

    module, name = kind.split(":")
    made = getattr(importlib.import_module(module), name)()
    registry.all_kinds()[made.slug] = made
    print("taking", flush=True)
    asyncio.run(Runner(Pool(), f"worker-{os.getpid()}").run(job_id))


def set_clock(days: int) -> None:
    """This process's clock is wrong by so many days."""
    from django.utils import timezone

    right = timezone.now
    timezone.now = lambda: right() + timedelta(days=days)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
