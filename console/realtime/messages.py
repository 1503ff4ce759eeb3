"""What goes over a WebSocket, and over the channel layer to the process that holds it.

A WebSocket message is a JSON array of frames, each one of the types below. Frames of a job and of the fleet say what
the store held when they were read; ``docs/live.md`` has what a client may rely on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NotRequired, TypedDict

# Close codes. From 4400 to 4499: coming back is of no use.
WHOLE = 1000
SERVER_FAULT = 1011
TRY_AGAIN = 1013
NOT_LOGGED_IN = 4401
NO_SUCH_THING = 4404
BAD_POSITION = 4400


class LogFrame(TypedDict):
    """A chunk of a job's log. ``offset`` and ``size`` count bytes; ``data`` (base64) is there if they are no UTF-8."""

    type: Literal["log"]
    offset: int
    size: int
    machine: str | None
    step: str
    step_id: int
    at: str
    text: str
    data: NotRequired[str]


class StepFrame(TypedDict):
    """A step as it is now; ``step`` is its id, ``progress`` a share from 0 to 1 where one is known."""

    type: Literal["step"]
    step: int
    key: str
    state: str
    machine: str | None
    failure: dict[str, Any]
    progress: float | None
    exit_status: int | None


class JobFrame(TypedDict):
    type: Literal["job"]
    job: int
    state: str
    attempt: int
    waits_for: int | None
    failure: dict[str, Any]


class EndFrame(TypedDict):
    """The job has ended and its log is whole: ``offset`` bytes. The server closes with 1000 after it."""

    type: Literal["end"]
    offset: int


class IdleFrame(TypedDict):
    """Nothing to say; the link is alive."""

    type: Literal["idle"]


class ChipReading(TypedDict):
    """One NPU at one time. ``None`` stands for what ``npu-smi`` did not say."""

    npu_id: int | None
    chip_id: int | None
    aicore_percent: float | None
    temp_c: float | None
    power_w: float | None
    hbm_used_mb: int | None
    hbm_total_mb: int | None
    health: str | None
    ecc_errors: int | None
    link: int | None
    processes: int | None
    fault_codes: list[str] | None
    process_list: list[list[int | None]] | None


class SamplesFrame(TypedDict):
    """One reading of a machine. ``state`` is ``ok``, or why there is none: ``no-driver``, ``stuck``, ``error``.

    ``said`` has that in words; ``interval_s`` is the pace of the readings.
    """

    type: Literal["samples"]
    at: str
    state: str
    chips: list[ChipReading]
    said: str
    vitals: dict[str, float]
    interval_s: float


class FleetMachineFrame(TypedDict):
    type: Literal["machine"]
    machine: str
    state: str
    simulated: bool
    trouble: dict[str, Any]


class FleetJobFrame(TypedDict):
    type: Literal["job"]
    job: int
    kind: str
    state: str


class FleetAlertFrame(TypedDict):
    """An alert that was opened, ended or acknowledged; ``alert`` 0: rules or silences are different now."""

    type: Literal["alert"]
    alert: int
    rule: str
    severity: str
    machine: str
    npu: str
    state: str
    acknowledged: bool


class FleetTelemetryFrame(TypedDict):
    """Newest readings of those machines that reported since the last such frame, by machine name."""

    type: Literal["telemetry"]
    at: str
    machines: dict[str, dict[str, Any]]


# The key of a wake-up that tells to look, not at what.
LOOK = ""


class Wakeup(TypedDict):
    """That something has changed.

    ``key`` tells wake-ups of one topic apart that must not replace each other (``machine:sim-01``); ``payload`` is
    there for telemetry alone, everything else is read from the store.
    """

    topic: str
    key: str
    payload: NotRequired[dict[str, Any]]


def newer(before: Wakeup | None, now: Wakeup) -> Wakeup:
    """What to keep of two wake-ups of one topic and key: the later one. Of readings that tell only of the machines that
    have changed, those of the earlier one that the later does not tell of are kept, too.
    """
    earlier = before.get("payload", {}).get("machines") if before is not None else None
    if not isinstance(earlier, dict) or "machines" not in now.get("payload", {}):
        return now
    payload = {**now["payload"], "machines": {**earlier, **now["payload"]["machines"]}}
    return Wakeup(topic=now["topic"], key=now["key"], payload=payload)


class News(TypedDict):
    """What a process that changed something tells those that hold sockets, in one message of the channel layer."""

    type: Literal["wakeups"]
    wakeups: list[Wakeup]


def encode(frames: Iterable[Mapping[str, Any]]) -> str:
    return json.dumps(list(frames), ensure_ascii=False, separators=(",", ":"))


def group(topic: str) -> str:
    """The channel layer's group that hears of a topic; groups have no colons in their names.

    All jobs have one: a thousand jobs that change at once cost one message, and who holds sockets picks out its own.
    """
    kind, _, rest = topic.partition(":")
    return "jobs" if kind in ("job", "job-log") else f"{kind}.{rest}" if rest else kind
