"""From the request that submits a job to its first log line in a client of the WebSocket, through the whole console."""

from __future__ import annotations

import time
from collections.abc import Iterator

from console.bench.figure import Figure, at
from console.bench.reader import Reader
from console.bench.rig import Rig, ended, until

WANTED_MS = 300.0


def measure(rig: Rig, quick: bool) -> Iterator[Figure]:
    """One job after another, each on a machine: the first has the worker log in there, the next finds the link up."""
    count = 8 if quick else 40
    rig.worker()
    with rig.machines(count) as host, rig.client as client:
        names = [row.name for row in host.rows]

        def one(name: str) -> float:
            began = time.monotonic()
            order = {"kind": "bench-command", "params": {"command": "echo here; sleep 0.2"}, "machines": [name]}
            answer = client.post("/api/v1/jobs/", json=order)
            answer.raise_for_status()
            reader = Reader(rig, answer.json()["id"])
            link = reader.open()
            while not reader.take(link):
                pass
            took = (time.monotonic() - began) * 1000
            link.close()
            until(lambda: ended([reader.job]), 30, "the job did not end")
            return took

        one(names[0])
        cold, warm = ([one(name) for name in names[1:]] for _ in range(2))
    for what, found in (("login included", cold), ("link is up", warm)):
        yield Figure(
            f"submit to first log line in a WebSocket client, {what}",
            f"p50 {at(found, 0.5):.0f} ms, p95 {at(found, 0.95):.0f} ms",
            f"p95 under {WANTED_MS:.0f} ms",
            ok=at(found, 0.95) < WANTED_MS,
            detail={"ms": [round(one) for one in found]},
        )
