"""A plan as a page shows it: every command byte for byte, every transfer with its bytes and hash, every gate."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from jobs.pages import wording

# A word up to this length is kept whole at the end of a line; a longer one may break anywhere, as it must on a phone.
WHOLE = 32


@dataclass
class ShownStep:
    """``note`` says what kind of act it is; ``command`` is what runs, ``facts`` what else there is to know."""

    title: str
    type: str
    note: str = ""
    command: SafeString | None = None
    facts: list[tuple[str, str]] = field(default_factory=list)
    transfer: dict[str, Any] | None = None


@dataclass
class ShownLane:
    """``machine`` is ``None`` for the console itself."""

    machine: str | None
    steps: list[ShownStep]
    on_failure: list[ShownStep]


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

    @property
    def lanes(self) -> list[ShownLane]:
        return [lane for stage in self.stages for lane in stage.lanes]

    @property
    def machines(self) -> list[str]:
        return list(dict.fromkeys(lane.machine for lane in self.lanes if lane.machine))

    @property
    def commands(self) -> int:
        """How many command lines there are, those that only run after a failure left out."""
        return sum(1 for lane in self.lanes for step in lane.steps if step.type in ("run", "local"))

    @property
    def restarts(self) -> list[str]:
        """The machines that may restart."""
        return list(
            dict.fromkeys(
                lane.machine for lane in self.lanes if lane.machine and any(s.type == "reboot" for s in lane.steps)
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
                    if lane.machine and lane.machine not in made.machines:
                        made.machines.append(lane.machine)
        return list(found.values())

    @property
    def bytes_sent(self) -> int:
        return sum((t.size or 0) * len(t.machines) for t in self.transfers if not t.fetched)


def shown(plan: dict[str, Any], digest: str) -> ShownPlan:
    """The page's view of a plan's JSON, as a dry run makes it or as a job stored it."""
    stages = [
        ShownStage(
            wording.title(stage["title"]),
            [
                ShownLane(
                    lane["machine"],
                    [_step(step) for step in lane["steps"]],
                    [_step(step) for step in lane["on_failure"]],
                )
                for lane in stage["lanes"]
            ],
        )
        for stage in plan["stages"]
    ]
    return ShownPlan(digest, stages, list(plan.get("notes", ())))


def command(text: str) -> SafeString:
    """A command line that wraps between words and never inside an option. Its text is the command, byte for byte."""
    return format_html_join("", "{}", ((_word(piece),) for piece in re.split(r"(\s+)", text)))


def _word(piece: str) -> SafeString | str:
    if 1 < len(piece) <= WHOLE and not piece.isspace():
        return format_html('<span class="w">{}</span>', piece)
    return piece


def _step(step: dict[str, Any]) -> ShownStep:
    action = dict(step["action"])
    made = ShownStep(wording.title(step["title"]), action["type"])
    match action["type"]:
        case "run":
            made.note = _("up to %(time)s") % {"time": _span(action["timeout_s"])}
            made.command = command(action["command"])
        case "local":
            made.note = _("on the console, up to %(time)s") % {"time": _span(action["timeout_s"])}
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
        case "reboot":
            made.note = _("only if a step before asks for it") if action["only_if"] else _("always")
            made.command = command(action["command"])
            made.facts = [(_("Waits"), _("up to %(time)s until it is back") % {"time": _span(action["timeout_s"])})]
        case "request":
            made.note = _("gate, within %(time)s") % {"time": _span(action["within_s"])}
            made.command = command(_asked(action))
            made.facts = [(_("Expects"), expected) for expected in _expected(action["expect"], "status = 200")]
        case "facts":
            made.note = _("reads only")
            made.facts = [(_("Expects"), expected) for expected in _expected(action["expect"])]
        case _:
            made.facts = [(name, json.dumps(value, ensure_ascii=False)) for name, value in action.items()]
    return made


def _asked(action: dict[str, Any]) -> str:
    line = f"{action['method']} http://127.0.0.1:{action['port']}{action['path']}"
    return line if action["body"] is None else f"{line}\n{json.dumps(action['body'], ensure_ascii=False)}"


def _expected(expect: dict[str, Any], *always: str) -> Iterator[str]:
    yield from always
    for path, value in expect.items():
        yield f"{path} = {json.dumps(value, ensure_ascii=False)}"


def _span(seconds: int) -> str:
    if seconds % 3600 == 0 and seconds:
        return _("%(n)s h") % {"n": seconds // 3600}
    if seconds % 60 == 0 and seconds:
        return _("%(n)s min") % {"n": seconds // 60}
    return _("%(n)s s") % {"n": seconds}
