"""Samples on their way into Redis; for the collector's event loop."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from typing import Any

import redis
import redis.asyncio
from django.conf import settings
from redis.backoff import NoBackoff

from hardware.telemetry.samples import ALIVE_SECONDS, KEEP_SECONDS, LOOKED, QUICK, SIGNS, Sample, pack

log = logging.getLogger(__name__)

# One script instead of three commands a sample: each costs us more than it costs Redis. Its answer is who looks.
_RECORD = """
redis.call("HSET", KEYS[2], ARGV[1], ARGV[2])
redis.call("EXPIRE", KEYS[2], ARGV[3])
for i = 7, #ARGV, 2 do
  redis.call("SET", "telemetry:newest:" .. ARGV[i], ARGV[i + 1], "EX", ARGV[5])
  local key = "telemetry:hour:" .. ARGV[i]
  redis.call("XADD", key, "MAXLEN", "~", ARGV[6], "*", "s", ARGV[i + 1])
  redis.call("EXPIRE", key, ARGV[5])
end
redis.call("ZREMRANGEBYSCORE", KEYS[1], "-inf", "(" .. ARGV[4])
return redis.call("ZRANGE", KEYS[1], 0, -1)
"""
# Samples in one call: more would keep Redis from others for too long.
TOGETHER = 200


class Recorder:
    """``looked``: the machines whose samples somebody looks at, and ``*`` when it is the fleet."""

    def __init__(self, interval: float, name: str = "collector") -> None:
        self.interval = interval
        self.name = name
        self.looked: set[str] = set()
        self._redis = redis.asyncio.Redis.from_url(
            settings.REDIS_URL, retry=redis.asyncio.retry.Retry(NoBackoff(), 1), decode_responses=True, **QUICK
        )
        self._script = self._redis.register_script(_RECORD)
        self._away = False

    async def record(self, samples: Sequence[Sample], machines: int) -> bool:
        """Store the samples, and that a collector lives that watches ``machines``; ``False`` if they are lost."""
        try:
            for first in range(0, max(len(samples), 1), TOGETHER):
                await self._call(samples[first : first + TOGETHER], machines)
        except (redis.RedisError, OSError) as wrong:
            if not self._away:
                log.warning("Redis can't take samples (%s); they are lost until it is back", wrong)
            self._away = True
            self.looked = set()
            return False
        if self._away:
            log.info("Redis takes samples again")
        self._away = False
        return True

    async def _call(self, samples: Sequence[Sample], machines: int) -> None:
        now = time.time()
        sign = json.dumps({"at": now, "machines": machines})
        most = max(1, int(KEEP_SECONDS / self.interval))
        values: list[Any] = [self.name, sign, ALIVE_SECONDS, now, KEEP_SECONDS, most]
        for sample in samples:
            values += (sample.machine, pack(sample, self.interval, self.name))
        self.looked = set(await self._script(keys=[LOOKED, SIGNS], args=values))

    async def taken_by(self, names: Sequence[str]) -> dict[str, str]:
        """Whose the newest sample of each machine is; nothing while Redis is away."""
        try:
            found = await self._redis.mget([f"telemetry:newest:{name}" for name in names])
        except (redis.RedisError, OSError):
            return {}
        return {name: json.loads(text)[-1] for name, text in zip(names, found, strict=True) if text}

    async def leave(self) -> None:
        """Take the sign of life back."""
        try:
            await self._redis.hdel(SIGNS, self.name)
        except (redis.RedisError, OSError) as wrong:
            log.debug("the sign of life fades by itself (%s)", wrong)

    async def close(self) -> None:
        await self._redis.aclose()
