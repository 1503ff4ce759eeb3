"""A worker process for the fault tests: takes one job of the test's database and carries it out."""

from __future__ import annotations

import importlib
import os
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any


def main(job_id: int, kind: str, said: str | None, given: dict[str, Any]) -> None:
    """``kind`` is the class of the job's kind, as ``module:name``; ``said`` is a file for stderr.

    ``given`` are settings, and ``BUSY_SECONDS`` (how long it waits for a locked database), ``BEAT_SECONDS`` (how often
    it looks whether it is to stop), ``KEEPALIVE`` (how often it looks whether a link lives) and ``CLOCK_DAYS`` (how
    wrong its clock is).
    """
    if said is not None:
        os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND), sys.stderr.fileno())
    from django.conf import settings

    from hardware.ssh.background import Background
    from hardware.ssh.pool import Pool
    from jobs import registry
    from jobs.engine import runner

    given = dict(given)
    keepalive = given.pop("KEEPALIVE", 15)
    set_clock(given.pop("CLOCK_DAYS", 0))
    if "BUSY_SECONDS" in given:
        settings.DATABASES["default"]["OPTIONS"]["timeout"] = given.pop("BUSY_SECONDS")
    if "BEAT_SECONDS" in given:
        runner.BEAT_SECONDS = given.pop("BEAT_SECONDS")
    for name, value in given.items():
        setattr(settings, name, value)
    module, name = kind.split(":")
    made = getattr(importlib.import_module(module), name)()
    registry.all_kinds()[made.slug] = made
    background = Background("jobs")
    background.pool = Pool(keepalive)
    background.submit(runner.Runner(background.pool, f"worker-{os.getpid()}").run(job_id)).result()


def launching(kind: str, params: dict[str, Any], machines: list[int], once: str) -> None:
    """What a web process does that is asked to launch a job."""
    from hardware.inventory.models import Machine
    from jobs import registry
    from jobs.services import launch
    from tests.faults.kinds import Planned

    registry.all_kinds()["planned"] = Planned()
    launch(kind, params, list(Machine.objects.filter(pk__in=machines)), actor="ada", once=once)


def leaving(job_id: int, stop: str) -> None:
    """A worker that is told to stop when there is a file ``stop``, and whose lease would hold for long."""
    from django.conf import settings

    from jobs import registry
    from jobs.engine.loop import leave, submit
    from tests.command_kind import Command

    settings.LEASE_SECONDS = 600
    registry.all_kinds()["command"] = Command()
    submit([job_id])
    while not Path(stop).exists():
        time.sleep(0.01)
    leave()


def set_clock(days: int) -> None:
    """This process's clock is wrong by so many days."""
    from django.utils import timezone

    right = timezone.now
    timezone.now = lambda: right() + timedelta(days=days)
