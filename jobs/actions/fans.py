"""The step that holds a machine's fans: raise, watch, hand back.

Whatever ends it, the fans go back to the board: when the chips are cool, when time is over, when the job is asked to
stop, when something fails. A worker that is killed hands nothing back; the one that takes the job over goes on from
what was noted before the first request, and where none does the board's own clock ends the manual mode. Only a board
that refuses to be handed back is left as it is, and then the step fails and says so.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import Error

from hardware.bmc.models import Bmc
from hardware.bmc.redfish import Access, BmcFailure, BmcUnreachable, Redfish, Thermal
from hardware.bmc.redfish.thermal import MANUAL
from hardware.database import on_db, on_db_until_done
from hardware.events import audit
from hardware.npu import parse
from hardware.ssh.command import execute
from hardware.ssh.endpoint import Endpoint
from hardware.ssh.errors import SSHFailure
from hardware.telemetry.samples import fresh, latest
from hardware.writing import write
from jobs.engine import steptime
from jobs.engine.checkpoints import move, note_progress
from jobs.failures import CancelRequested, JobFailed, LeaseLost
from jobs.logs import logbook, reading
from jobs.models import JobStep
from jobs.plan import HoldFans
from jobs.states import StepState

if TYPE_CHECKING:
    from jobs.actions.actions import Actions

EVERY_SECONDS = 5.0
# So many readings in a row have to be cool: one alone may be a sensor's mood.
COOL_READINGS = 3
BACK_ATTEMPTS = 3
SHELL_SECONDS = 15


@dataclass(frozen=True)
class Reading:
    """One look at the machine; ``None``: not known. ``spread`` is the latency's, in percent."""

    hottest: float | None
    rpm: int | None
    level: int | None
    spread: float | None

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Reading:
        return cls(data["hottest_c"], data["rpm"], data["level"], data["latency_spread_percent"])

    def to_json(self) -> dict[str, Any]:
        return {"hottest_c": self.hottest, "rpm": self.rpm, "level": self.level, "latency_spread_percent": self.spread}


@dataclass
class _Hold:
    """One attempt at the step. ``noted`` is what an earlier one left: fans that are held are then ours."""

    actions: Actions
    row: JobStep
    action: HoldFans
    endpoint: Endpoint
    access: Access
    noted: dict[str, Any] = field(default_factory=dict)
    held: bool = False
    said: int = 0

    @property
    def name(self) -> str:
        return self.access.machine

    @property
    def source(self) -> str:
        return f"fans:{self.row.run_id}:{self.actions.lease.attempt}"

    async def say(self, text: str) -> None:
        line = f"{datetime.now(UTC):%H:%M:%S} {text}\n".encode()
        await write(logbook.append, self.actions.lease, self.row, self.source, self.said, line)
        self.said += len(line)

    async def look(self, board: Redfish) -> tuple[Thermal, Reading]:
        """What the board says, the chips' own temperatures where the machine answers, and the newest latency."""
        thermal = await board.thermal(self.action.path)
        hottest, spread = thermal.hottest, None
        with suppress(SSHFailure):
            said = await execute(
                self.actions.pool, self.endpoint, "PATH=$PATH:/usr/local/bin:/usr/local/sbin npu-smi info",
                timeout=SHELL_SECONDS,
            )  # fmt: skip
            degrees = [chip.temp_c for chip in parse(said.stdout).chips if chip.temp_c is not None]
            hottest = max(degrees, default=hottest)
        sample = (await asyncio.to_thread(latest, [self.name])).get(self.name)
        if sample and fresh(sample):
            spread = (sample.get("vitals") or {}).get("latency_spread_percent")
        return thermal, Reading(hottest, thermal.rpm, thermal.level, spread)

    async def send(self, board: Redfish, body: dict[str, Any]) -> None:
        await on_db(_record, self.name, self.actions.lease.job_id, self.action, body)
        await board.set(self.action.path, body)


async def hold_fans(actions: Actions, row: JobStep, action: HoldFans, endpoint: Endpoint) -> dict[str, Any]:
    """Raises ``JobFailed``, ``CancelRequested``: after the fans were handed back, or the failure says they were not."""
    access = await on_db_until_done(_access, row, action)
    one = _Hold(actions, row, action, endpoint, access, dict(row.result or {}))
    try:
        async with Redfish(access) as board:
            return await _course(one, board)
    except BmcFailure as wrong:
        raise JobFailed(wrong.code, str(wrong), wrong.mend) from wrong
    finally:
        row.log_sha256, row.log_length = await on_db_until_done(reading.measure, one.source)


async def _course(one: _Hold, board: Redfish) -> dict[str, Any]:
    action = one.action
    thermal, before = await one.look(board)
    if "before" in one.noted:
        before = Reading.from_json(one.noted["before"])
        one.held = thermal.mode == MANUAL
        await one.say("another worker goes on with it")
    else:
        _may_raise(one, thermal)
        if one.actions.stop.is_set():
            raise CancelRequested
        if (thermal.level or 0) >= action.level:
            await one.say(f"the fans turn at {thermal.level} % by themselves, {action.level} % were asked for")
            return {"report": {"machine": one.name, "raised": False, "before": before.to_json(), "handed_back": True}}
        # Before the request: whoever takes over must know that a manual mode is ours.
        noted = {"before": before.to_json()}
        await write(move, one.actions.lease, one.row, StepState.RUNNING, result=noted)
        await one.say(_words("before", before))
    try:
        after, seconds, ended = await _watch(one, board)
    except (asyncio.CancelledError, LeaseLost):
        # The job is somebody else's now, or will be: the fans stay held for whoever goes on.
        raise
    except BaseException:
        await _hand_back(one)
        raise
    await _hand_back(one)
    report = {
        "machine": one.name,
        "raised": True,
        "level": action.level,
        "before": before.to_json(),
        "after": after.to_json(),
        "seconds": round(seconds),
        "ended": ended,
        "handed_back": True,
    }
    if ended == "still-hot":
        raise JobFailed(
            "still-hot",
            f"{one.name}: after {seconds:.0f} s at {action.level} % the hottest chip still had {after.hottest:g} °C. "
            "The fans were handed back to the BMC.",
            "Look at the air: inlet temperature, filters, blanking plates. Or move load away from the machine.",
        )
    return {"report": report}


def _may_raise(one: _Hold, thermal: Thermal) -> None:
    name, action = one.name, one.action
    if not thermal.settable:
        raise JobFailed(
            "bmc-fans", f"{name}: its BMC does not let the fans be set.", "Set them where the chassis has its fans."
        )
    if thermal.mode == MANUAL:
        raise JobFailed(
            "fans-held-already",
            f"{name}: somebody holds its fans at {thermal.level} % by hand.",
            "Hand them back to automatic first, or leave them to whoever holds them.",
        )
    if thermal.most is not None and action.level > thermal.most:
        raise JobFailed(
            "bmc-limit-changed",
            f"{name}: its BMC now takes {thermal.most} % at most, and the plan says {action.level} %.",
            "Read the BMC again, then plan again.",
        )


async def _watch(one: _Hold, board: Redfish) -> tuple[Reading, float, str]:
    """Hold and look until it is cool or time is over; returns the last reading, seconds, and why it ended."""
    action, cool = one.action, 0
    every = min(EVERY_SECONDS, max(0.2, action.seconds / 60))
    limit = steptime.limit(one.row, None)
    renewed = -float(action.hold_s)
    reading: Reading | None = None
    while True:
        if one.actions.stop.is_set():
            raise CancelRequested
        age = await steptime.age(one.row)
        if time.monotonic() - renewed > action.hold_s / 3:
            # Held from here on, whatever becomes of the answer.
            one.held, renewed = True, time.monotonic()
            await _patiently(one, partial(one.send, board, action.hold))
        thermal, reading = await _patiently(one, partial(one.look, board))
        await one.say(_words(f"held at {action.level} %", reading))
        if thermal.mode != MANUAL:
            one.held = False
            raise JobFailed(
                "fans-taken-back",
                f"{one.name}: somebody set its fans back to automatic meanwhile.",
                "Nothing is held any more. Run the job again if the chips are still hot.",
            )
        cool = cool + 1 if reading.hottest is not None and reading.hottest <= action.cool_c else 0
        if cool >= COOL_READINGS:
            return reading, age, "cool"
        if limit is not None and age > limit:
            raise steptime.too_late(one.name, one.row, limit)
        if age > action.seconds:
            hot = reading.hottest is not None and reading.hottest > action.cool_c
            return reading, age, "still-hot" if hot else "time"
        with suppress(Error, LeaseLost):
            await on_db(note_progress, one.actions.lease, one.row, min(1.0, age / action.seconds))
        with suppress(TimeoutError):
            await asyncio.wait_for(one.actions.stop.wait(), every)


async def _patiently(one: _Hold, attempt: Any) -> Any:
    """Once more while the board is out of reach, for less than its own clock holds the fans."""
    deadline = time.monotonic() + one.action.hold_s / 2
    while True:
        try:
            return await attempt()
        except BmcUnreachable:
            if time.monotonic() > deadline or one.actions.stop.is_set():
                raise
            await asyncio.sleep(min(2.0, one.action.hold_s / 20))


async def _hand_back(one: _Hold) -> None:
    """Raises ``JobFailed`` that says loudly what is still held, until when, and how to end it."""
    if not one.held:
        return
    wrong: BmcFailure | None = None
    for attempt in range(BACK_ATTEMPTS):
        try:
            # A login of its own: what went wrong may have been the other one.
            async with Redfish(one.access) as board:
                await one.send(board, one.action.back)
                if (await board.thermal(one.action.path)).mode != MANUAL:
                    one.held = False
                    await one.say("the fans are the BMC's again")
                    return
                wrong = BmcFailure(one.name, "the BMC took the request and keeps its manual mode.")
        except BmcFailure as failure:
            wrong = failure
        await asyncio.sleep(attempt)
    until = datetime.fromtimestamp(time.time() + one.action.hold_s, UTC)
    await one.say(f"THE FANS WERE NOT HANDED BACK: {wrong}")
    raise JobFailed(
        "fans-not-handed-back",
        f"{one.name}: the fans are still held at {one.action.level} %, and could not be handed back: {wrong} "
        f"The BMC takes them back by itself by {until:%H:%M:%S} UTC.",
        "Look at the BMC after that time; if it is still in manual mode, set it to automatic there.",
    )


def _words(what: str, reading: Reading) -> str:
    degrees = f"{reading.hottest:.0f} °C" if reading.hottest is not None else "temperature unknown"
    spread = f", latency varies by {reading.spread:.0f} %" if reading.spread is not None else ""
    return f"{what}: {reading.rpm or '?'} rpm, hottest chip {degrees}{spread}"


def _access(row: JobStep, action: HoldFans) -> Access:
    bmc = Bmc.objects.select_related("machine", "credential").filter(machine=row.machine_id).first()
    name = row.machine.name if row.machine else "?"
    if bmc is None or f"{bmc.host}:{bmc.port}" != action.address:
        raise JobFailed(
            "bmc-missing",
            f"{name}: it has no BMC at {action.address or 'any address'} (any more).",
            "Give the machine its BMC on its page, then plan again.",
        )
    return bmc.access()


def _record(name: str, job: int, action: HoldFans, body: dict[str, Any]) -> None:
    audit("bmc.set", f"machine:{name}", actor=f"job:{job}", request=f"PATCH {action.path}", body=body)
