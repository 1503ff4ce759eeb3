"""Jobs that do nothing, from launch to done by one worker; beside them plain Celery tasks on the same Redis."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from uuid import uuid4

from console.bench.figure import Figure, cpu_seconds
from console.bench.rig import PERSON, Rig, ended, until

WANTED_RATE, WANTED_RATIO = 100.0, 0.4
ROUNDS = 3


def measure(rig: Rig, quick: bool) -> Iterator[Figure]:
    """Best of some rounds each, in turn: what else the machine does hits both."""
    count = 300 if quick else 1500
    pid = rig.worker()
    sides: dict[str, Callable[[], float]] = {
        "jobs": lambda: _jobs(count),
        "celery": lambda: _plain("bench.nothing", count),
        "row": lambda: _plain("bench.row", count),
    }
    best: dict[str, float] = {}
    cpu: dict[str, float] = {}
    for _ in range(1 if quick else ROUNDS):
        for name, side in sides.items():
            before = cpu_seconds(pid) + time.process_time()
            rate = side()
            used = (cpu_seconds(pid) + time.process_time() - before) / count * 1000
            best[name] = max(rate, best.get(name, 0.0))
            cpu[name] = min(used, cpu.get(name, used))
    detail = {"per_second": best, "cpu_ms_each": cpu, "count": count}
    ratio = best["jobs"] / best["row"]
    yield Figure(
        "no-op jobs, launch to done, one worker",
        f"{best['jobs']:.0f}/s",
        f"{WANTED_RATE:.0f}/s, {WANTED_RATIO:g} x peer",
        f"Celery task that writes a row: {best['row']:.0f}/s",
        ratio,
        best["jobs"] >= WANTED_RATE and ratio >= WANTED_RATIO,
        detail,
    )
    yield Figure(
        "the same",
        f"{best['jobs']:.0f}/s",
        f"{WANTED_RATIO:g} x peer",
        f"Celery task that does nothing: {best['celery']:.0f}/s",
        best["jobs"] / best["celery"],
        best["jobs"] / best["celery"] >= WANTED_RATIO,
    )
    # What else the machine does spoils a rate more than this.
    for name, peer in (("row", "that writes a row"), ("celery", "that does nothing")):
        yield Figure(
            "the same, processor time of launcher and worker",
            f"{cpu['jobs']:.1f} ms a job",
            f"{WANTED_RATIO:g} x peer",
            f"Celery task {peer}: {cpu[name]:.1f} ms",
            cpu[name] / cpu["jobs"],
            cpu[name] / cpu["jobs"] >= WANTED_RATIO,
        )


def _jobs(count: int) -> float:
    from jobs.services import launch

    began = time.monotonic()
    made = [launch("bench-nothing", {}, [], actor=PERSON).pk for _ in range(count)]
    until(lambda: ended(made) == count, 120, "the jobs did not end", 0.05)
    return count / (time.monotonic() - began)


def _plain(task: str, count: int) -> float:
    from django.conf import settings
    from redis import Redis

    from console.bench.worker import DONE, app

    batch, told = uuid4().hex, Redis.from_url(settings.REDIS_URL)
    began = time.monotonic()
    for _ in range(count):
        app.send_task(task, args=[batch, count], queue="machines", retry=False)
    until(lambda: told.get(f"{DONE}:{batch}"), 120, "the plain tasks did not end")
    return count / (time.monotonic() - began)
