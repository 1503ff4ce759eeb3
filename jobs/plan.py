"""A plan: the exact commands, transfers and checks of a job, in order, as data.

A plan is a list of stages; the lanes of a stage, one a machine or the console itself, run side by side;
the steps of a lane run one after another. A stage begins when the one before it succeeded. When a lane fails, its
``on_failure`` steps run (in a rollout: back to the release before). When more machines have failed than the plan
tolerates, no further lane and no further stage begins; until then the others go on without those that failed.

Plans are pure data: the same parameters, facts and artifacts give the same plan and the same hash.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class RunCommand:
    """A remote run: ``command`` is POSIX sh, byte for byte what is executed. ``timeout_s`` in seconds.

    ``repeatable`` says that running it again after a reboot cut it does no harm. ``writes`` are the files and folders
    on the machine that it makes, changes or removes. ``secrets`` names the secret parameters that it reads, each from
    the file ``$CONSOLE_SECRETS/NAME``: by that path, or over stdin, and not as an argument, which `ps` would show.
    """

    command: str
    timeout_s: int = 1800
    repeatable: bool = False
    writes: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    type: str = "run"


@dataclass(frozen=True)
class SendArtifact:
    """A blob of the depot to a file on the machine, checked there by its SHA-256."""

    sha256: str
    name: str
    size: int
    destination: str
    mode: int = 0o644
    type: str = "send"


@dataclass(frozen=True)
class Reboot:
    """Restart the machine and wait until it is back. With ``only_if``: only when a step before it set that result.

    ``command`` returns before the machine goes down, so that the link that asked is not cut in the asking.
    """

    only_if: str = ""
    timeout_s: int = 900
    command: str = "(sleep 1; reboot) >/dev/null 2>&1 </dev/null &"
    type: str = "reboot"


@dataclass(frozen=True)
class Request:
    """An HTTP request to a port of the machine, over the SSH link, repeated until it answers 200 with what is expected.

    ``expect`` maps a dotted path in the JSON answer to the value it must have.
    """

    method: str
    port: int
    path: str
    body: dict[str, Any] | None = None
    expect: dict[str, Any] = field(default_factory=dict)
    within_s: int = 60
    type: str = "request"


@dataclass(frozen=True)
class ReadFacts:
    """Probe the machine and hold what was read against ``expect`` (``jobs.actions.expectations``)."""

    expect: dict[str, Any] = field(default_factory=dict)
    type: str = "facts"


@dataclass(frozen=True)
class Watch:
    """Leave the machine alone for ``seconds`` and see what the change did: ``figures`` names metrics of the rollups,
    of which the step's result says what they were before the job began on this machine, and what they were meanwhile.

    ``npus`` are the places in npu-smi's list (N of ``/dev/davinciN``) whose metrics count; empty: all.
    """

    seconds: float
    figures: list[str] = field(default_factory=list)
    npus: list[int] = field(default_factory=list)
    type: str = "watch"


@dataclass(frozen=True)
class LogIn:
    """A login with another credential, by its name, and with nothing but its key. The machine's own is not touched."""

    credential: str
    username: str
    type: str = "login"


@dataclass(frozen=True)
class HoldFans:
    """Hold the machine's fans at ``level`` percent through its BMC at ``address``, watch, and hand them back.

    ``hold`` and ``back`` are the bodies of the PATCH requests to ``path``, byte for byte what is sent. They hold no
    secret: the board's credential is looked up when the step runs. ``hold`` lasts ``hold_s`` and is sent again
    meanwhile, so that the board itself takes its fans back when nobody asks any more. The watch ends when no chip has
    had more than ``cool_c`` degrees for a while, or after ``seconds``.
    """

    address: str
    path: str
    level: int
    hold: dict[str, Any]
    back: dict[str, Any]
    hold_s: int
    cool_c: float
    seconds: int
    type: str = "fans"


@dataclass(frozen=True)
class Product:
    """A file that a step makes and the depot keeps.

    ``links`` maps a key of ``meta`` to the ``file`` of a product named before it: the depot puts its SHA-256 there.
    """

    file: str
    type: str
    name: str
    version: str = ""
    meta: dict[str, Any] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LocalCommand:
    """A command line on the console itself, in a work folder that holds the ``inputs`` under their names.

    ``arguments`` go to the program as they are, no shell reads them; ``python`` is the console's own interpreter. The
    last line of output is one JSON object, the report. It may be run again from the start: it only makes files.
    """

    arguments: list[str]
    inputs: dict[str, str] = field(default_factory=dict)
    products: list[Product] = field(default_factory=list)
    timeout_s: int = 3600
    type: str = "local"


@dataclass(frozen=True)
class FetchArtifact:
    """A file of the machine into the depot, checked by the SHA-256 that the machine reckons."""

    product: Product
    type: str = "fetch"


@dataclass(frozen=True)
class Recall:
    """A result that the depot has (``jobs.actions.stored``), in the place of the steps that would make it again.

    ``made_by`` is the job that made it. Its bytes are read and held against ``sha256``; no machine is touched.
    """

    sha256: str
    name: str
    made_by: int
    type: str = "recall"


Action = (
    RunCommand
    | SendArtifact
    | Reboot
    | Request
    | ReadFacts
    | Watch
    | HoldFans
    | LocalCommand
    | FetchArtifact
    | LogIn
    | Recall
)
ACTIONS: dict[str, type[Any]] = {
    action.type: action
    for action in (
        RunCommand,
        SendArtifact,
        Reboot,
        Request,
        ReadFacts,
        Watch,
        HoldFans,
        LocalCommand,
        FetchArtifact,
        LogIn,
        Recall,
    )
}


def read_action(data: dict[str, Any]) -> Action:
    """An action as it was stored with its step."""
    given = dict(data)
    if "products" in given:
        given["products"] = [Product(**product) for product in given["products"]]
    if "product" in given:
        given["product"] = Product(**given["product"])
    action: Action = ACTIONS[given.pop("type")](**given)
    return action


@dataclass(frozen=True)
class Step:
    """One unit: ``key`` is stable within its lane and names the step in results and messages."""

    key: str
    title: str
    action: Action

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Step:
        return cls(data["key"], data["title"], read_action(data["action"]))


@dataclass(frozen=True)
class Lane:
    """Steps of one machine, by its name, or of the console itself (``None``)."""

    machine: str | None
    steps: list[Step]
    on_failure: list[Step] = field(default_factory=list)


@dataclass(frozen=True)
class Stage:
    title: str
    lanes: list[Lane]


@dataclass(frozen=True)
class Plan:
    """``tolerate`` is how many machines may fail before no other is begun."""

    stages: list[Stage]
    notes: list[str] = field(default_factory=list)
    tolerate: int = 0

    def to_json(self) -> dict[str, Any]:
        """The plan as it is stored: always the same object, to be left as it is."""
        return self._json

    @cached_property
    def _json(self) -> dict[str, Any]:
        return asdict(self)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the plan's canonical JSON: what is approved, and what runs."""
        return plan_hash(self.to_json())

    def lanes(self) -> Iterator[tuple[int, Lane]]:
        for number, stage in enumerate(self.stages):
            for lane in stage.lanes:
                yield number, lane

    @property
    def queue(self) -> str:
        """``compute`` when the console itself has something to compute in it, else ``machines``."""
        local = any(isinstance(step.action, LocalCommand) for _, lane in self.lanes() for step in lane.steps)
        return "compute" if local else "machines"

    @property
    def touches_machines(self) -> bool:
        """Whether any lane is a machine's; a plan without one needs no lock and nothing of the machines' state."""
        return any(lane.machine is not None for _, lane in self.lanes())


def plan_hash(data: dict[str, Any]) -> str:
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
