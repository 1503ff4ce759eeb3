"""Samples in Redis: the newest of each machine, and those of the last hour.

They are no truth that must last: a Redis that is away costs the samples of that time, nothing else. Keys:

===========================  =======================================================================================
``telemetry:newest:NAME``    JSON as ``newest`` gives it, for an hour
``telemetry:hour:NAME``      stream of compact samples, capped, for an hour after the last one
``telemetry:collector``      the collector's sign of life, for ``ALIVE_SECONDS``
===========================  =======================================================================================
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import redis
import redis.asyncio
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from hardware.npu import Chip

log = logging.getLogger(__name__)

KEEP_SECONDS = 3600
ALIVE_SECONDS = 15
FIELDS = (
    "npu_id", "chip_id", "aicore_percent", "temp_c", "power_w", "hbm_used_mb", "hbm_total_mb", "health",
)  # fmt: skip
# A Redis that is away must not hold a page up: one attempt, one second.
_QUICK: dict[str, Any] = {"socket_timeout": 1, "socket_connect_timeout": 1}


@dataclass(frozen=True)
class Sample:
    """One reading of one machine at ``at`` (seconds since 1970).

    ``state`` is ``ok``, or why there are no chips: ``no-driver`` (no ``npu-smi`` there), ``stuck`` (it gave no answer
    in time) or ``error`` (it printed one; ``said`` has it in words).
    """

    machine: str
    at: float
    state: str = "ok"
    chips: list[dict[str, Any]] = field(default_factory=list)
    said: str = ""

    def frame(self) -> dict[str, Any]:
        """As pages get it."""
        return {"at": _iso(self.at), "state": self.state, "chips": self.chips, "said": self.said}


def reading(chip: Chip) -> dict[str, Any]:
    """A chip by the names of ``FIELDS``. Boards with DDR instead of HBM report that as their memory."""
    values = {name: getattr(chip, name) for name in FIELDS}
    if chip.hbm_total_mb is None:
        values |= {"hbm_used_mb": chip.memory_used_mb, "hbm_total_mb": chip.memory_total_mb}
    return values


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


class Recorder:
    """Writes samples; for the collector's event loop."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self._redis = redis.asyncio.Redis.from_url(settings.REDIS_URL, retry=_no_retry(asynchronous=True), **_QUICK)
        self._away = False

    async def record(self, samples: Sequence[Sample], machines: int) -> bool:
        """Store the samples, and that a collector lives that watches ``machines``; ``False`` if they are lost."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.set("telemetry:collector", json.dumps({"at": time.time(), "machines": machines}), ex=ALIVE_SECONDS)
        for sample in samples:
            newest = {**sample.frame(), "interval_s": self.interval}
            pipe.set(f"telemetry:newest:{sample.machine}", json.dumps(newest), ex=KEEP_SECONDS)
            if sample.state == "ok":
                key = f"telemetry:hour:{sample.machine}"
                chips = [[chip[name] for name in FIELDS] for chip in sample.chips]
                pipe.xadd(
                    key,
                    {"s": json.dumps([sample.at, chips], separators=(",", ":"))},
                    maxlen=int(KEEP_SECONDS / self.interval),
                )
                pipe.expire(key, KEEP_SECONDS)
        try:
            await pipe.execute()
        except (redis.RedisError, OSError) as wrong:
            if not self._away:
                log.warning("Redis can't take samples (%s); they are lost until it is back", wrong)
            self._away = True
            return False
        if self._away:
            log.info("Redis takes samples again")
        self._away = False
        return True

    async def close(self) -> None:
        await self._redis.aclose()


@lru_cache(maxsize=1)
def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, retry=_no_retry(), decode_responses=True, **_QUICK)


def _no_retry(asynchronous: bool = False) -> Any:
    if asynchronous:
        return redis.asyncio.retry.Retry(NoBackoff(), 1)
    return Retry(NoBackoff(), 1)


def latest(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The newest sample of each machine that has one in the last hour: ``at``, ``state``, ``chips``, ``said``,
    ``interval_s``. Older than three intervals is for the reader to call unknown. Empty while Redis is away.
    """
    wanted = list(names)
    if not wanted:
        return {}
    try:
        found: Any = _client().mget([f"telemetry:newest:{name}" for name in wanted])
    except redis.RedisError as wrong:
        log.warning("the newest samples can't be read (%s)", wrong)
        return {}
    return {name: json.loads(text) for name, text in zip(wanted, found, strict=True) if text}


def history(name: str, minutes: int) -> list[dict[str, Any]]:
    """Samples of the last ``minutes`` (60 at most are kept), newest last. Raises ``redis.RedisError``."""
    since = int((time.time() - minutes * 60) * 1000)
    entries: Any = _client().xrange(f"telemetry:hour:{name}", min=since)
    samples = []
    for _, fields in entries:
        at, chips = json.loads(fields["s"])
        samples.append({"at": _iso(at), "chips": [dict(zip(FIELDS, chip, strict=True)) for chip in chips]})
    return samples


def collector() -> dict[str, Any] | None:
    """The collector's last sign of life (``at``, ``machines``), or ``None``. Raises ``redis.RedisError``."""
    text: Any = _client().get("telemetry:collector")
    return json.loads(text) if text else None
