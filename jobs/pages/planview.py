"""A plan as a page shows it: every command byte for byte, every transfer with its bytes and hash, every gate."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from jobs.pages import wording
from jobs.pages.steps import clock
from jobs.planning.dryrun import files_written
from jobs.planning.forecast import Expected, Forecast

# A word up to this length is kept whole at the end of a line; a longer one may break anywhere, as it must on a phone.
WHOLE = 32
# Machines of a stage that are told one by one; of more those with the same steps are told together.
ONE_BY_ONE = 12


@dataclass
class ShownStep:
    """``note`` says what kind of act it is; ``command`` is what runs, ``facts`` what else there is to know."""

    title: str
    type: str
    note: str = ""
    command: SafeString | None = None
    facts: list[tuple[str, str]] = field(default_factory=list)
    transfer: dict[str, Any] | None = None
    writes: list[str] = field(default_factory=list)
    expected: str = ""


@dataclass
class ShownLane:
    """``machine`` is ``None`` for the console itself. ``same`` are other machines that get exactly these steps."""

    machine: str | None
    steps: list[ShownStep]
    on_failure: list[ShownStep]
    expected: str = ""
    same: list[str] = field(default_factory=list)

    @property
    def machines(self) -> list[str]:
        return [self.machine, *self.same] if self.machine else []


@dataclass
class ShownStage:
    title: str
    lanes: list[ShownLane]


@dataclass
class Transfer:
    """One file and all the machines it goes to (or, ``fetched``, comes from)."""

    name: str
    size: int | None
    sha256: str
    machines: list[str]
    fetched: bool = False


@dataclass
class ShownPlan:
    hash: str
    stages: list[ShownStage]
    notes: list[str]
    expected: str = ""

    @property
    def lanes(self) -> list[ShownLane]:
        return [lane for stage in self.stages for lane in stage.lanes]

    @property
    def machines(self) -> list[str]:
        return list(dict.fromkeys(name for lane in self.lanes for name in lane.machines))

    @property
    def commands(self) -> int:
        """How many command lines there are, those that only run after a failure left out."""
        return sum(
            max(1, len(lane.machines)) for lane in self.lanes for step in lane.steps if step.type in ("run", "local")
        )

    @property
    def restarts(self) -> list[str]:
        """The machines that may restart."""
        return list(
            dict.fromkeys(
                name for lane in self.lanes if any(s.type == "reboot" for s in lane.steps) for name in lane.machines
            )
        )

    @property
    def transfers(self) -> list[Transfer]:
        found: dict[tuple[str, str], Transfer] = {}
        for lane in self.lanes:
            for step in lane.steps:
                if (sent := step.transfer) is not None:
                    made = found.setdefault(
                        (sent["sha256"], sent["name"]),
                        Transfer(sent["name"], sent["size"], sent["sha256"], [], sent.get("fetched", False)),
                    )
                    made.machines = list(dict.fromkeys([*made.machines, *lane.machines]))
        return list(found.values())

    @property
    def files(self) -> list[tuple[str, list[str]]]:
        """What is written on machines, and on which; what is only written after a failure is left out."""
        found: dict[str, list[str]] = {}
        for lane in self.lanes:
            for step in lane.steps:
                for path in step.writes:
                    found[path] = list(dict.fromkeys([*found.get(path, ()), *lane.machines]))
        return list(found.items())

    @property
    def bytes_sent(self) -> int:
        return sum((t.size or 0) * len(t.machines) for t in self.transfers if not t.fetched)


def shown(plan: dict[str, Any], digest: str, forecast: Forecast | None = None) -> ShownPlan:
    """The page's view of a plan's JSON, as a dry run makes it or as a job stored it; with the time it may take."""
    stages = [
        ShownStage(
            wording.title(stage["title"]),
            [
                ShownLane(
                    lane["machine"],
                    [_step(step, forecast) for step in lane["steps"]],
                    [_step(step) for step in lane["on_failure"]],
                    _about(forecast.lane(lane["steps"])) if forecast else "",
                    same,
                )
                for lane, same in _lanes(stage["lanes"])
            ],
        )
        for stage in plan.get("stages", ())
    ]
    return ShownPlan(digest, stages, list(plan.get("notes", ())), _in_all(forecast) if forecast else "")


def _lanes(lanes: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """The lanes, each with the machines whose steps are the same to the byte: told once where there are many."""
    if len(lanes) <= ONE_BY_ONE:
        yield from ((lane, []) for lane in lanes)
        return
    found: dict[str, tuple[dict[str, Any], list[str]]] = {}
    for lane in lanes:
        key = json.dumps([lane["machine"] is None, lane["steps"], lane["on_failure"]])
        if key in found:
            found[key][1].append(lane["machine"])
        else:
            found[key] = (lane, [])
    yield from found.values()


def command(text: str) -> SafeString:
    """A command line that wraps between words and never inside an option. Its text is the command, byte for byte."""
    return format_html_join("", "{}", ((_word(piece),) for piece in re.split(r"(\s+)", text)))


def _word(piece: str) -> SafeString | str:
    if 1 < len(piece) <= WHOLE and not piece.isspace():
        return format_html('<span class="w">{}</span>', piece)
    return piece


def _in_all(forecast: Forecast) -> str:
    """How long the whole of it may take, and what of it is not in that."""
    if forecast.total is None:
        return _("no earlier run")
    about = _about(forecast.total)
    if not forecast.unknown:
        return about
    names = ", ".join(wording.column(key) for key in forecast.unknown)
    return _("%(time)s, without %(steps)s, which have no earlier run") % {"time": about, "steps": names}


def _about(expected: Expected | None) -> str:
    if expected is None:
        return ""
    times = {"median": _clock(expected.median_s), "p90": _clock(expected.p90_s)}
    if times["median"] == times["p90"]:
        return _("about %(median)s") % times
    return _("about %(median)s, 9 of 10 within %(p90)s") % times


def _clock(seconds: float) -> str:
    return _("%(n)s s") % {"n": f"{seconds:.1f}"} if seconds < 10 else clock(timedelta(seconds=round(seconds)))


def _step(step: dict[str, Any], forecast: Forecast | None = None) -> ShownStep:
    action = dict(step["action"])
    made = ShownStep(wording.title(step["title"]), action["type"], writes=files_written(action))
    if forecast is not None:
        made.expected = _about(forecast.steps.get(step["key"])) or _("no earlier run")
    match action["type"]:
        case "run":
            made.note = _("up to %(time)s") % {"time": span(action["timeout_s"])}
            made.command = command(action["command"])
            made.facts = [(_("Writes"), ", ".join(made.writes))] if made.writes else []
            made.facts += [
                (_("Reads the secret"), f"{name} · $CONSOLE_SECRETS/{name}") for name in action.get("secrets", ())
            ]
        case "local":
            made.note = _("on the console, up to %(time)s") % {"time": span(action["timeout_s"])}
            made.command = command(shlex.join(action["arguments"]))
            made.facts = [(_("Reads"), f"{name} · sha256 {digest}") for name, digest in action["inputs"].items()]
            made.facts += [(_("Makes"), f"{product['name']} ({product['type']})") for product in action["products"]]
        case "send":
            made.note = _("%(count)s bytes") % {"count": f"{action['size']:,}"}
            made.transfer = {key: action[key] for key in ("name", "size", "sha256")}
            made.facts = [
                (
                    _("To"),
                    _("%(path)s, mode %(mode)s") % {"path": action["destination"], "mode": f"{action['mode']:o}"},
                ),
                ("SHA-256", action["sha256"]),
            ]
        case "fetch":
            product = action["product"]
            made.note = _("into the depot")
            made.transfer = {"name": product["name"], "size": None, "sha256": "", "fetched": True}
            made.facts = [(_("From"), product["file"]), (_("Becomes"), f"{product['name']} ({product['type']})")]
        case "recall":
            made.note = _("made by job %(job)s, no machine is touched") % {"job": action["made_by"]}
            made.facts = [(_("From the depot"), action["name"]), ("SHA-256", action["sha256"])]
        case "reboot":
            made.note = _("only if a step before asks for it") if action["only_if"] else _("always")
            made.command = command(action["command"])
            made.facts = [(_("Waits"), _("up to %(time)s until it is back") % {"time": span(action["timeout_s"])})]
        case "request":
            made.note = _("gate, within %(time)s") % {"time": span(action["within_s"])}
            made.command = command(_asked(action))
            made.facts = [(_("Expects"), expected) for expected in _expected(action["expect"], "status = 200")]
        case "facts":
            made.note = _("reads only")
            made.facts = [(_("Expects"), expected) for expected in _expected(action["expect"])]
        case "login":
            made.note = _("with its key alone")
            made.facts = [(_("Credential"), action["credential"]), (_("User name"), action["username"])]
        case "watch":
            made.note = _("leaves the machine alone for %(time)s") % {"time": _clock(action["seconds"])}
            if action["figures"]:
                made.facts = [(_("Before and after"), ", ".join(action["figures"]))]
        case "fans":
            made.note = _("through its BMC, up to %(time)s") % {"time": _clock(action["seconds"])}
            made.command = command("\n".join(_asked_of_bmc(action)))
            made.facts = [
                (_("Level"), f"{action['level']} %"),
                (_("Ends"), _("when no chip has more than %(degrees)s °C") % {"degrees": f"{action['cool_c']:g}"}),
                (
                    _("Hands back"),
                    _("in every case; if nothing asks any more, the BMC does so itself after %(time)s")
                    % {"time": _clock(action["hold_s"])},
                ),
            ]
        case _:
            made.facts = [(name, json.dumps(value, ensure_ascii=False)) for name, value in action.items()]
    return made


def _asked_of_bmc(action: dict[str, Any]) -> list[str]:
    """Every request that the step sends, but for those that only read and the login."""
    place = f"https://{action['address']}{action['path']}"
    return [
        f"GET {place}",
        f"PATCH {place}\n{json.dumps(action['hold'], ensure_ascii=False)}",
        f"PATCH {place}\n{json.dumps(action['back'], ensure_ascii=False)}",
    ]


def _asked(action: dict[str, Any]) -> str:
    line = f"{action['method']} http://127.0.0.1:{action['port']}{action['path']}"
    return line if action["body"] is None else f"{line}\n{json.dumps(action['body'], ensure_ascii=False)}"


def _expected(expect: dict[str, Any], *always: str) -> Iterator[str]:
    yield from always
    for path, value in expect.items():
        if path == "free":
            yield _claimed(value)
            continue
        yield f"{path} = {json.dumps(value, ensure_ascii=False)}"


def _claimed(claim: dict[str, Any]) -> str:
    """Who may hold what the job takes."""
    if claim["driver"]:
        return _("no process has a device node of the driver open")
    numbers, names = ", ".join(map(str, claim["npus"])), ", ".join(claim["replaces"])
    return _("nobody but %(names)s holds NPU %(npus)s") % {"names": names, "npus": numbers}


def span(seconds: int) -> str:
    """A limit in its largest whole unit: ``30 min``."""
    if seconds % 3600 == 0 and seconds:
        return _("%(n)s h") % {"n": seconds // 3600}
    if seconds % 60 == 0 and seconds:
        return _("%(n)s min") % {"n": seconds // 60}
    return _("%(n)s s") % {"n": seconds}
