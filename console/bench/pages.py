"""The pages of a fleet of 1,000 machines with 8 NPUs, while samples of all of them come in."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Iterator

import httpx

from console.bench.figure import Figure, at
from console.bench.rig import Rig

# What of it a person sees first.
PAGES = {
    "Overview": "/",
    "Machines": "/machines/",
    "Machines, filtered": "/machines/?site=Hall+B&label=serving",
    "Machine": "/machines/n01-01/",
    "Alerts": "/alerts/",
    "NPUs over REST": "/api/v1/npus/",
    "24 h of a machine over REST": "/api/v1/machines/n01-01/telemetry/?since=24h&step=300",
    "/metrics": "/metrics",
}
WANTED_MS = 500


def measure(rig: Rig, quick: bool) -> Iterator[Figure]:
    from console.bench.fleet import roll_up, seed
    from hardware.inventory.models import Machine

    machines = 100 if quick else 1000
    names = seed(machines, 8)
    roll_up(names, 8, hours=24, days=0)
    rig.start("fleet", [sys.executable, "-m", "console.bench.fleet", str(machines), "--feed", "600"])
    # Until every machine has been read once.
    time.sleep(8)
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{rig.port}", cookies={"sessionid": rig.cookie}, timeout=60
        ) as client:
            for name, path in PAGES.items():
                yield _page(client, name, path, machines, 5 if quick else 40)
    finally:
        rig.stop("fleet")
        Machine.objects.filter(credential__name="bench-fleet").delete()


def _page(client: httpx.Client, name: str, path: str, machines: int, rounds: int) -> Figure:
    took: list[float] = []
    headers = {} if path.startswith("/api") else {"Accept": "text/html"}
    for turn in range(rounds + 2):
        began = time.monotonic()
        answer = client.get(path, headers=headers)
        answer.raise_for_status()
        # The first ones have templates to read.
        if turn >= 2:
            took.append((time.monotonic() - began) * 1000)
    p50, p95 = statistics.median(took), at(took, 0.95)
    return Figure(
        f"{name}, {machines:,} machines x 8 NPUs",
        f"p50 {p50:.0f} ms, p95 {p95:.0f} ms, {len(answer.content) / 1024:.0f} KiB",
        f"p95 under {WANTED_MS} ms",
        ok=p95 < WANTED_MS,
        detail={"p50_ms": p50, "p95_ms": p95, "load": os.getloadavg()[0]},
    )
