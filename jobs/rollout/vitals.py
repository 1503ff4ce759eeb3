"""What the collector reads of machines that serve a release: the engine's own vitals, over the link that is up."""

from __future__ import annotations

import asyncio
import json
import math
import time

from hardware.database import on_db
from hardware.ssh.endpoint import Endpoint
from hardware.ssh.errors import SSHFailure
from hardware.ssh.pool import Pool
from hardware.ssh.tunnel import http_request
from jobs.rollout.models import Deployment
from jobs.serving.vitals import LONGEST, USUAL

NAMES = (
    "requests_waiting", "requests_per_s", "latency_ms", "latency_p95_ms", "latency_spread_percent", "out_of_memory",
    "max_batch", "preprocessing_workers",
)  # fmt: skip
# A release that was rolled out is read after so long, and no machine costs a query of its own.
KNOWN_SECONDS = 5.0
ANSWER_SECONDS = 5.0


class ServingVitals:
    """A source of the collector (``settings.TELEMETRY_SOURCES``), for its event loop."""

    def __init__(self) -> None:
        self._ports: dict[str, int] = {}
        self._known_at = -math.inf
        self._asking = asyncio.Lock()
        # Machine -> when it was read last, so that each reading tells of all the time since the one before.
        self._read_at: dict[str, float] = {}

    async def read(self, pool: Pool, endpoint: Endpoint, machine_name: str) -> dict[str, float]:
        """The vitals by name; empty where no release is served, or its server does not tell."""
        port = (await self._serving()).get(machine_name)
        if port is None:
            self._read_at.pop(machine_name, None)
            return {}
        now = time.monotonic()
        span = min(LONGEST, max(1, round(now - self._read_at.get(machine_name, now - USUAL))))
        path = f"/v1/vitals?seconds={span}"
        try:
            status, body = await http_request(pool, endpoint, "GET", port, path, timeout=ANSWER_SECONDS)
        except SSHFailure:
            # It restarts, or is down: that the machine itself is there, the collector sees by itself.
            return {}
        if status != 200:
            return {}
        self._read_at[machine_name] = now
        return _numbers(body)

    async def _serving(self) -> dict[str, int]:
        """Machine -> port of what it serves."""
        async with self._asking:
            if time.monotonic() - self._known_at > KNOWN_SECONDS:
                self._ports = await on_db(_ports)
                self._known_at = time.monotonic()
        return self._ports


def _ports() -> dict[str, int]:
    return dict(Deployment.objects.values_list("machine__name", "release__port"))


def _numbers(body: bytes) -> dict[str, float]:
    """Those of ``NAMES`` that are numbers; an answer that is something else altogether holds none."""
    try:
        said = json.loads(body)
    except ValueError:
        return {}
    found = [(name, said.get(name)) for name in NAMES] if isinstance(said, dict) else []
    return {
        name: float(value)
        for name, value in found
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }
