"""Samples in Redis: the newest of each machine, and those of the last hour.

They are no truth that must last: a Redis that is away costs the samples of that time, nothing else. Keys:

===========================  =======================================================================================
``telemetry:newest:NAME``    the newest sample, packed, for an hour
``telemetry:hour:NAME``      stream of packed samples, capped, for an hour after the last one
``telemetry:collectors``     hash: name -> a collector's last sign of life; counts for ``ALIVE_SECONDS``
``telemetry:looked``         sorted set: whose samples somebody looks at, and until when; ``*`` is the fleet
===========================  =======================================================================================

A sample is packed as a JSON list: at, state, seconds until the next, said, chips (each the values of ``FIELDS``,
without ``None`` at its end), vitals, collector.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from itertools import zip_longest
from typing import Any

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from hardware.npu import Chip, Report

log = logging.getLogger(__name__)

KEEP_SECONDS = 3600
ALIVE_SECONDS = 15
STALE_INTERVALS = 3
SIGNS = "telemetry:collectors"
LOOKED = "telemetry:looked"
LOOKED_SECONDS = 10
# Among what is looked at: the heat map of all machines.
FLEET = "*"
# Of a sample that does not say its own.
USUAL_INTERVAL = 2
FIELDS = (
    "npu_id", "chip_id", "aicore_percent", "temp_c", "power_w", "hbm_used_mb", "hbm_total_mb", "health",
    "ecc_errors", "link", "processes", "fault_codes", "process_list",
)  # fmt: skip
# A Redis that is away must not hold a page up: one attempt, one second.
QUICK: dict[str, Any] = {"socket_timeout": 1, "socket_connect_timeout": 1}


@dataclass(frozen=True)
class Sample:
    """One reading of one machine at ``at``: seconds since 1970, made whole milliseconds. That is all by which a sample
    is known to be the same again, in Redis as in a row; a finer one would lie in two periods where they meet.

    ``state`` is ``ok``, or why there are no chips: ``no-driver`` (no ``npu-smi`` there), ``stuck`` (it gave no answer
    in time) or ``error`` (it printed one; ``said`` has it in words).

    ``chips`` have the names of ``FIELDS``. Three of those are read more seldom than the rest and carried on meanwhile:
    ``ecc_errors`` (all counts of a chip together), ``link`` (1 up, 0 down) and ``fault_codes`` (in hexadecimal, as
    printed). ``process_list`` is who holds memory there, pid and MB; ``None`` when nobody does. ``vitals`` is what is
    known of the machine itself: what it has on its bus and in its lists (``npus_on_bus``, ``npus_listed``,
    ``links_down``), ``disk_used_percent`` of its fullest local file system, ``clock_skew_s`` (machine less console),
    and what ``settings.TELEMETRY_SOURCES`` tell. What is not known is ``None`` or absent, never 0.
    """

    machine: str
    at: float
    state: str = "ok"
    chips: list[dict[str, Any]] = field(default_factory=list)
    said: str = ""
    vitals: dict[str, float] = field(default_factory=dict)
    # Seconds until the next one is due, where that is not the collector's interval.
    every: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "at", round(self.at, 3))

    def frame(self) -> dict[str, Any]:
        """As pages get it."""
        return {"at": _iso(self.at), "state": self.state, "chips": self.chips, "said": self.said, "vitals": self.vitals}


def readings(report: Report, counted: bool = False) -> list[dict[str, Any]]:
    """Its chips by the names of ``FIELDS``. Boards with DDR instead of HBM report that as their memory.

    ``counted``: the tool printed its table of processes, so that who is not in it holds nothing.
    """
    held: dict[tuple[int | None, int | None], list[tuple[int | None, int | None]]] = {}
    for process in report.processes:
        held.setdefault((process.npu_id, process.chip_id or 0), []).append((process.pid, process.memory_mb))
    made = [_reading(chip) for chip in report.chips]
    if counted:
        for chip in made:
            those = held.get((chip["npu_id"], chip["chip_id"] or 0))
            chip["processes"], chip["process_list"] = len(those or ()), those
    return made


def _reading(chip: Chip) -> dict[str, Any]:
    values: dict[str, Any] = {name: getattr(chip, name, None) for name in FIELDS}
    if chip.hbm_total_mb is None:
        values |= {"hbm_used_mb": chip.memory_used_mb, "hbm_total_mb": chip.memory_total_mb}
    return values


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def pack(sample: Sample, interval: float, collector: str) -> str:
    """As Redis has it."""
    chips = [_bare(chip) for chip in sample.chips]
    every = sample.every or interval
    return _compact([sample.at, sample.state, every, sample.said, chips, sample.vitals, collector])


def _bare(chip: Mapping[str, Any]) -> list[Any]:
    values = [*map(chip.__getitem__, FIELDS)]
    while values and values[-1] is None:
        values.pop()
    return values


_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


def unpack(text: str) -> dict[str, Any]:
    """``at``, ``state``, ``interval_s``, ``said``, ``chips``, ``vitals`` and ``by``, the collector."""
    at, state, every, said, chips, vitals, by = json.loads(text)
    return {
        "at": _iso(at), "state": state, "chips": [_full(chip) for chip in chips], "said": said, "vitals": vitals,
        "interval_s": every, "by": by,
    }  # fmt: skip


def _full(values: list[Any]) -> dict[str, Any]:
    return dict(zip_longest(FIELDS, values[: len(FIELDS)]))


@lru_cache(maxsize=1)
def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, retry=Retry(NoBackoff(), 1), decode_responses=True, **QUICK)


def newest(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The newest sample of each machine that has one in the last hour, as ``unpack`` gives it.

    Older than three intervals is for the reader to call unknown. Raises ``redis.RedisError``.
    """
    wanted = list(names)
    if not wanted:
        return {}
    found: Any = _client().mget([f"telemetry:newest:{name}" for name in wanted])
    return {name: unpack(text) for name, text in zip(wanted, found, strict=True) if text}


def latest(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The same for who can do without: empty while Redis is away."""
    try:
        return newest(names)
    except redis.RedisError as wrong:
        log.warning("the newest samples can't be read (%s)", wrong)
        return {}


def taken_at(sample: Mapping[str, Any]) -> datetime:
    """When a sample, as ``latest`` gives it, was taken."""
    at = datetime.fromisoformat(str(sample["at"]))
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def fresh(sample: Mapping[str, Any]) -> bool:
    """Whether a sample is young enough to be shown as now."""
    age = (datetime.now(UTC) - taken_at(sample)).total_seconds()
    return age <= STALE_INTERVALS * float(sample.get("interval_s") or USUAL_INTERVAL) + 1


def history(name: str, minutes: int) -> list[dict[str, Any]]:
    """Samples of the last ``minutes`` (60 at most are kept), newest last. Raises ``redis.RedisError``."""
    since = int((time.time() - minutes * 60) * 1000)
    entries: Any = _client().xrange(f"telemetry:hour:{name}", min=since)
    samples = []
    for _, fields in entries:
        sample = unpack(fields["s"])
        if sample["state"] == "ok":
            samples.append({name: sample[name] for name in ("at", "chips", "vitals")})
    return samples


def kept(since: Mapping[str, float]) -> list[Sample]:
    """The samples that are kept of some machines, of each from a time on (s); without the words of those that have no
    chips. Raises ``redis.RedisError``.
    """
    pipe = _client().pipeline(transaction=False)
    for name, at in since.items():
        pipe.xrange(f"telemetry:hour:{name}", min=int(at * 1000))
    answers: Any = pipe.execute()
    samples = [_kept(name, fields["s"]) for name, entries in zip(since, answers, strict=True) for _, fields in entries]
    return [sample for sample in samples if sample.at >= since[sample.machine]]


def _kept(name: str, text: str) -> Sample:
    at, state, _, _, chips, vitals, *_ = json.loads(text)
    return Sample(name, at, state, [_full(chip) for chip in chips], vitals=vitals)


def collector() -> dict[str, Any] | None:
    """The last sign of life of all collectors together (``at``, ``machines``, ``collectors``), or ``None``.

    Raises ``redis.RedisError``.
    """
    found: Any = _client().hvals(SIGNS)
    signs = [sign for sign in map(json.loads, found) if time.time() - sign["at"] < ALIVE_SECONDS]
    if not signs:
        return None
    machines = sum(sign["machines"] for sign in signs)
    return {"at": max(sign["at"] for sign in signs), "machines": machines, "collectors": len(signs)}


def look(name: str) -> None:
    """Say that somebody looks at a machine's samples, or with ``*`` at the fleet's: for ``LOOKED_SECONDS`` they are
    announced. A Redis that is away could not announce any, either.
    """
    try:
        _client().zadd(LOOKED, {name: time.time() + LOOKED_SECONDS})
    except redis.RedisError:
        return
