"""From samples to rows, in the collector's process.

Samples of a period are held as packed numbers until it is over; then they become a row, whose period is returned for
rules to be held against. Three things can keep a collector from having seen all of a period: it took a machine over, it
was just started, the database was away for long. Then Redis is asked for the samples of the last hour, and what of them
is in no row yet is stored late. A row and what comes late become one (``store``), so that a repeat does no harm.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import redis
from django.db import Error

from hardware.database import is_away, on_db
from hardware.telemetry.rollups import packing
from hardware.telemetry.rollups.hours import Hours
from hardware.telemetry.rollups.packing import Reading, Samples
from hardware.telemetry.rollups.records import SILENT, Period, Stat
from hardware.telemetry.rollups.store import ROWS, Row, newest_rows, store
from hardware.telemetry.samples import KEEP_SECONDS, STALE_INTERVALS, Sample, kept
from hardware.writing import write_once

log = logging.getLogger(__name__)

# How long after its end a period is closed: npu-smi takes seconds, and a sample's time is when it was asked.
GRACE_SECONDS = 5
# A machine whose npu-smi hangs is asked again after a minute: it is not silent meanwhile.
STUCK_SECONDS = 120
# Rows that wait for a database that is away; about 70 MB. What is older then is taken from Redis, later.
WAITING_ROWS = 100_000
# Machines whose kept samples are read at a time, and how often when Redis is away.
BEHIND = 25
AGAIN_SECONDS = 5


@dataclass
class Watched:
    """A machine of this collector: since when (told at the next look), and its last sample's time and state."""

    machine_id: int
    since: float | None = None
    last_at: float = 0
    last_state: str = "ok"


@dataclass
class Due:
    """What is to be closed; without readings: a silent one."""

    at: int
    name: str
    machine_id: int
    readings: list[Reading]


class Rollups:
    """Periods of ``seconds``; ``interval`` (s) is how often a machine is sampled."""

    def __init__(
        self, seconds: int = 60, interval: float = 2, grace: float | None = None, hours: Hours | None = None
    ) -> None:
        self.seconds = seconds
        self.interval = interval
        self.grace = min(GRACE_SECONDS, seconds / 2) if grace is None else grace
        self._hours = hours or Hours()
        self._watched: dict[str, Watched] = {}
        # Also of machines that others have taken over: their last samples come after that.
        self._ids: dict[str, int] = {}
        self._open: dict[int, dict[str, list[Reading]]] = {}
        self._due: list[Due] = []
        self._waiting: dict[tuple[int, int], Row] = {}
        self._away = False
        # Machines whose samples in Redis may be in no row, and from when on (None: from its newest row on).
        self._behind: dict[str, int | None] = {}
        self._behind_again = 0.0
        self._closed_until: int | None = None
        self._turn_at: float | None = None

    def watch(self, machines: Mapping[str, int]) -> None:
        """The machines of this collector from now on, name -> id."""
        for name in self._watched.keys() - machines.keys():
            del self._watched[name]
            self._behind.pop(name, None)
        for name, machine_id in machines.items():
            known = self._watched.get(name)
            if known is None or known.machine_id != machine_id:
                self._ids[name] = machine_id
                self._watched[name] = Watched(machine_id)
                self._behind[name] = None

    def add(self, sample: Sample) -> None:
        """Take a sample in, whether its period is closed already or not."""
        if sample.machine not in self._ids:
            return
        at = int(sample.at) // self.seconds * self.seconds
        self._open.setdefault(at, {}).setdefault(sample.machine, []).append(packing.reading(sample))
        known = self._watched.get(sample.machine)
        if known is not None and known.last_at < sample.at:
            known.last_at, known.last_state = sample.at, sample.state

    async def close_periods(self, now: float) -> list[Period]:
        """Store what is over at ``now`` (seconds since 1970); the periods that are stored now, of a large fleet a
        tenth of it at a time. Meant to be called once a second.
        """
        if self._turn_at is not None and now - self._turn_at > self.seconds:
            self._begin_anew()
        self._turn_at = now
        for known in self._watched.values():
            known.since = now if known.since is None else known.since
        over = int(now - self.grace) // self.seconds * self.seconds
        self._find_due(over)
        self._away = False
        if self._waiting:
            await self._store(list(self._waiting.values())[:ROWS])
        portion = max(ROWS, len(self._watched) // 10)
        due, self._due = self._due[:portion], self._due[portion:]
        closed: list[Period] = []
        for at in range(0, len(due), ROWS):
            closed += await self._close(due[at : at + ROWS])
            # The loop has thousands of links to serve.
            await asyncio.sleep(0)
        while self._waiting and not self._away:
            await self._store(list(self._waiting.values())[:ROWS])
        if self._behind and not self._waiting and now >= self._behind_again:
            await self._catch_up(now)
        elif not self._waiting:
            try:
                await self._hours.tend(now, [known.machine_id for known in self._watched.values()])
            except Error as wrong:
                if not is_away(wrong):
                    raise
        return closed

    def _begin_anew(self) -> None:
        """For a whole period nothing ran here: stopped, or its host was. Nobody was asked, so nobody was silent; who
        sampled meanwhile has left that in Redis.
        """
        for name, known in self._watched.items():
            known.since = None
            self._behind[name] = None

    def _find_due(self, over: int) -> None:
        """What has samples, and what was watched all the time and has none."""
        if self._closed_until is None:
            self._closed_until = over
        for at in range(max(self._closed_until, over - KEEP_SECONDS), over, self.seconds):
            sampled = self._open.get(at, {})
            silent = [name for name in self._watched if name not in sampled and self._silent(name, at)]
            self._due += [Due(at, name, self._ids[name], []) for name in silent]
        self._closed_until = max(self._closed_until, over)
        for at in sorted(at for at in self._open if at < over):
            self._due += [Due(at, name, self._ids[name], those) for name, those in self._open.pop(at).items()]

    def _silent(self, name: str, at: int) -> bool:
        """Whether a machine without a sample in a period should have had one."""
        known = self._watched[name]
        patience = STALE_INTERVALS * self.interval
        if known.last_state != "ok":
            patience = max(patience, STUCK_SECONDS)
        return known.since is not None and known.since <= at and known.last_at < at + self.seconds - patience

    async def _close(self, due: list[Due]) -> list[Period]:
        made: list[Period] = []
        rows: dict[tuple[int, int], Row] = {}
        for one in due:
            samples = packing.gathered(one.readings, one.at)
            row = Row(one.machine_id, one.at, samples.state, packing.pack(samples))
            # A late sample's period, while the row itself still waits.
            if (key := row[:2]) in rows or key in self._waiting:
                before = rows.get(key) or self._waiting[key]
                samples = packing.union(packing.unpack(before.data), samples)
                row = Row(one.machine_id, one.at, samples.state, packing.pack(samples))
            rows[key] = row
            made.append(period(one.name, one.machine_id, one.at, self.seconds, samples))
        return made if await self._store(list(rows.values())) else []

    async def _store(self, rows: list[Row]) -> bool:
        """Whether they are in the database; where not, they wait."""
        if not self._away:
            try:
                await write_once(store, rows)
            except Exception as wrong:
                if not is_away(wrong):
                    raise
                if not self._waiting:
                    log.warning("the database is away (%s); rollups wait", wrong)
                self._away = True
            else:
                for row in rows:
                    self._waiting.pop(row[:2], None)
                    self._hours.changed(row.machine_id, row.at)
                return True
        self._wait(rows)
        return False

    def _wait(self, rows: list[Row]) -> None:
        """Keep rows for later; the oldest of too many give way."""
        self._waiting.update({row[:2]: row for row in rows})
        names = {known.machine_id: name for name, known in self._watched.items()}
        while len(self._waiting) > WAITING_ROWS:
            machine_id, at = next(iter(self._waiting))
            del self._waiting[machine_id, at]
            if name := names.get(machine_id):
                self._behind[name] = min(at, self._behind.get(name) or at)

    async def _catch_up(self, now: float) -> None:
        """Take in what Redis has of some machines and no row has; their periods are closed as all others."""
        names = list(self._behind)[:BEHIND]
        floor = int(now - KEEP_SECONDS)
        try:
            ids = {self._ids[name]: name for name in names if self._behind[name] is None}
            # The newest row may have been written in the midst of its period.
            newest = {ids[machine_id]: at for machine_id, at in (await on_db(newest_rows, list(ids), floor)).items()}
            since = {name: float(max(floor, self._behind[name] or newest.get(name, floor))) for name in names}
            samples = await asyncio.to_thread(kept, since)
        except (redis.RedisError, OSError, Error) as wrong:
            log.debug("what was sampled before can't be read yet (%s)", wrong)
            self._behind_again = now + AGAIN_SECONDS
            return
        for name in names:
            self._behind.pop(name, None)
        for number, sample in enumerate(samples):
            self.add(sample)
            if number % 200 == 199:
                await asyncio.sleep(0)


def period(name: str, machine_id: int, at: int, seconds: int, samples: Samples) -> Period:
    """The figures of a machine's samples."""
    return figures(name, machine_id, at, seconds, samples.state, samples.layout, samples.stats())


def figures(
    name: str, machine_id: int, at: int, seconds: int, state: str, of: packing.Layout, stats: list[Stat | None]
) -> Period:
    """A period by the names of its series."""
    npus: dict[tuple[int, int], dict[str, Stat]] = {npu: {} for npu in of.npus}
    vitals: dict[str, Stat] = {}
    for (npu, metric), stat in zip(of.series, stats, strict=True):
        if stat is not None:
            (vitals if npu is None else npus[npu])[metric] = stat
    return Period(name, machine_id, datetime.fromtimestamp(at, UTC), seconds, state or SILENT, npus, vitals)
