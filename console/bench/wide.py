"""One job on 500 machines with 12 steps each: time, memory of the worker, and its page meanwhile and afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx

from console.bench.figure import Figure, at, cpu_seconds, resident_mb
from console.bench.rig import PERSON, Rig, ended

STEPS = 12
WANTED_PAGE_MS = 1000.0


def measure(rig: Rig, quick: bool) -> Iterator[Figure]:
    from jobs.services import launch

    count = 50 if quick else 500
    pid = rig.worker()
    with rig.machines(count, light=True) as host:
        began = time.monotonic()
        job = launch("bench-change", {"command": "true", "steps": STEPS}, host.rows, actor=PERSON)
        launched = time.monotonic() - began
        busy: list[float] = []
        before, most = cpu_seconds(pid), 0.0
        while not ended([job.pk]):
            most = max(most, resident_mb(pid))
            busy.append(_page(rig, job.pk))
            time.sleep(2)
        took = time.monotonic() - began
        used = cpu_seconds(pid) - before
        calm = [_page(rig, job.pk) for _ in range(10)]
    runs = count * STEPS
    yield Figure(
        f"one job on {count} machines x {STEPS} steps, submit to done",
        f"{took:.0f} s, {runs / took:.0f} runs/s, worker {most:.0f} MB and {used / runs * 1000:.1f} ms CPU a run",
        detail={"launch_s": launched, "worker_cpu_s": used},
    )
    yield Figure(
        f"page of that job, {count} x {STEPS} cells",
        f"p50 {at(calm, 0.5):.0f} ms, p95 {at(calm, 0.95):.0f} ms; while it runs p95 {at(busy, 0.95):.0f} ms",
        detail={"ms": calm, "busy_ms": busy},
    )


def _page(rig: Rig, job: int) -> float:
    """Milliseconds for the job's page, as the web server gives it to a browser."""
    began = time.monotonic()
    answer = httpx.get(f"http://127.0.0.1:{rig.port}/jobs/{job}/", cookies={"sessionid": rig.cookie}, timeout=60)
    took = (time.monotonic() - began) * 1000
    assert answer.status_code == 200, answer.status_code
    return took
