"""What the pages say of approvals: a row of the inbox, a rule in words, what differs, once for all who share it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from jobs import registry
from jobs.approvals.asking import person_behind
from jobs.approvals.models import Approval, ApprovalRule
from jobs.depot.models import Artifact
from jobs.models import Job
from jobs.pages import wording

# Machines that a row names; of more it says how many.
NAMES = 3


@dataclass
class Row:
    """One approval of the inbox. ``commands`` and ``restarts`` are those of its plan, ``bytes`` what it sends."""

    approval: Approval
    title: str
    machines: list[str]
    steps: int = 0
    commands: int = 0
    bytes: int = 0
    restarts: int = 0
    own: bool = False

    @property
    def first(self) -> list[str]:
        return self.machines[:NAMES]

    @property
    def more(self) -> int:
        return max(0, len(self.machines) - NAMES)


@dataclass
class Change:
    """A difference and every machine that has it."""

    step: str
    what: str
    before: str | None
    after: str | None
    machines: list[str] = field(default_factory=list)


def row(approval: Approval, reader: str) -> Row:
    """``reader`` is who looks at the page."""
    job = approval.job
    steps = [(lane["machine"], step["action"]) for stage in job.plan["stages"] for lane in stage["lanes"]
             for step in lane["steps"]]  # fmt: skip
    return Row(
        approval,
        title(job.kind),
        list(dict.fromkeys(machine for machine, _action in steps if machine)),
        len(steps),
        sum(1 for _machine, action in steps if action["type"] in ("run", "local")),
        sum(action["size"] for _machine, action in steps if action["type"] == "send"),
        len({machine for machine, action in steps if action["type"] == "reboot"}),
        reader in (approval.asked_by, person_behind(job.created_by)),
    )


def title(slug: str) -> str:
    kind = registry.all_kinds().get(slug)
    return str(kind.title) if kind else slug


def rule(one: ApprovalRule) -> str:
    """``Install driver and firmware · label production``."""
    return in_words(str(one))


def in_words(text: str) -> str:
    """A rule as it was noted with the approval that it asked for, in the reader's language."""
    named = {"kind": _("kind: %(value)s"), "label": _("label: %(value)s"), "site": _("site: %(value)s")}
    pieces = []
    for piece in text.split(", "):
        what, _space, value = piece.partition(" ")
        shown = title(value) if what == "kind" else value
        pieces.append(named[what] % {"value": shown} if what in named else piece)
    return " · ".join(pieces)


def params(job: Job) -> list[tuple[str, str]]:
    """The parameters under the labels of their form; an artifact by its name."""
    kind = registry.all_kinds().get(job.kind)
    named, fields = (kind.artifacts, kind.Params().fields) if kind else ({}, {})
    artifacts = Artifact.objects.in_bulk([value for name, value in job.params.items() if name in named and value])
    found = []
    for name, value in job.params.items():
        if value in ("", None, [], {}):
            continue
        label = str(fields[name].label or "") if name in fields else ""
        said = artifacts[value].name if name in named and value in artifacts else _said(value)
        found.append((label or wording.column(name), said))
    return found


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def changes(differs: Sequence[dict[str, Any]]) -> list[Change]:
    """The differences, those that machines share once."""
    found: dict[tuple[str, str, str, str], Change] = {}
    for one in differs:
        before, after = (_value(one["field"], one[side]) for side in ("before", "after"))
        key = (one["step"], one["field"], before or "\0", after or "\0")
        made = found.setdefault(key, Change(wording.column(one["step"]), _field(one["field"]), before, after))
        if one["machine"]:
            made.machines.append(one["machine"])
    return list(found.values())


def _value(field: str, value: Any) -> str | None:
    if value is None:
        return None
    if field in ("title", "step"):
        return wording.title(str(value))
    if field == "machine" and (count := str(value).partition(" ")[0]).isdigit():
        return ngettext("%(n)s step", "%(n)s steps", int(count)) % {"n": count}
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _field(name: str) -> str:
    words = {
        "command": _("command"), "arguments": _("command"), "step": _("step"), "machine": _("machine"),
        "title": _("title"), "position": _("place among the steps"), "stage": _("stage"), "stages": _("stages"),
        "sha256": "SHA-256", "size": _("bytes"), "name": _("artifact"), "destination": _("destination"),
        "writes": _("what it writes"), "timeout_s": _("time that it may take"), "expect": _("what is expected"),
        "order of the machines": _("order of the machines"), "tolerate": _("machines that may fail"),
        "notes": _("notes"), "plan": _("plan"), "inputs": _("what it reads"), "products": _("what it makes"),
    }  # fmt: skip
    return words.get(name, name)
