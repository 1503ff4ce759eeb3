"""A command line that somebody pastes on the New job page: it fills the form in, and is set right where it is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext

from jobs import registry
from jobs.conversion.manual import LONGEST, recognise
from jobs.depot.models import Artifact
from jobs.kind import Kind

# The kinds whose work other tools' command lines ask for.
KINDS = ("convert",)


@dataclass(frozen=True)
class Pasted:
    """``params`` are for the form. ``elsewhere``: the kind that does it, when it is another than this one."""

    line: str = ""
    known: bool = False
    reasons: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    params: dict[str, Any] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    elsewhere: Kind | None = None
    machines: list[str] = field(default_factory=list)


def read(kind: Kind, data: QueryDict) -> Pasted | None:
    """What was pasted; an empty one when nothing was, ``None`` for a kind that has no such box."""
    if kind.slug not in KINDS:
        return None
    line, machines = data.get("line", "").strip()[:LONGEST], data.getlist("machine")
    found = recognise(line) if line else None
    if found is None:
        return Pasted(line, machines=machines)
    params: dict[str, Any] = {}
    other = registry.all_kinds().get(found.kind)
    if other is kind:
        fields = kind.Params().fields
        params = {name: value for name, value in found.params.items() if name in fields and _takes(fields[name], value)}
        models = list(Artifact.objects.filter(type="model", name=found.model).values_list("pk", flat=True)[:2])
        if len(models) == 1 and "model" in fields:
            params["model"] = models[0]
    left = [*found.left, *(f"--{name}" for name in found.params if other is kind and name not in params)]
    reasons = [gettext(one) for one in found.reasons]
    elsewhere = other if other is not kind else None
    return Pasted(line, True, reasons, found.lines, params, left, elsewhere, machines)


def _takes(field: Any, value: Any) -> bool:
    """Whether a choice has the value; other fields say themselves what they refuse."""
    return value in field.choices if hasattr(field, "choices") else True
