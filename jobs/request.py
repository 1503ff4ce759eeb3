"""What is asked for, before it is a job: stored with schedules and pipelines, carried from page to page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from rest_framework import serializers

from hardware.inventory.groups.api import SelectionSerializer
from hardware.inventory.groups.models import Group
from hardware.inventory.models import Machine
from hardware.inventory.selection import Selection, usable
from jobs.failures import PlanRefused
from jobs.options import Options


@dataclass(frozen=True)
class Request:
    """``targets`` is ``{"machines": [names]}``, ``{"labels": [...], "site": "..."}`` or ``{"group": name}``.

    Machines that are named must exist when it is resolved; labels, site and group stand for whoever has them then, as
    far as something may log in there.
    """

    slug: str
    params: dict[str, Any] = field(default_factory=dict)
    targets: dict[str, Any] = field(default_factory=dict)
    options: Options = field(default_factory=Options)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Request:
        return cls(
            data["kind"],
            dict(data.get("params", {})),
            dict(data.get("targets", {})),
            Options.from_json(data.get("options", {})),
        )

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.slug, "params": self.params, "targets": self.targets, "options": self.options.to_json()}

    def resolve(self) -> list[Machine]:
        """The machines that it means now, by name. Raises ``PlanRefused`` when one that it names is not there."""
        return resolve(self.targets)


class TargetsSerializer(SelectionSerializer):
    """One of: ``machines`` by name; ``group``; or filters, as a saved group has them. Found anew each time."""

    machines = serializers.ListField(child=serializers.CharField(), required=False)
    group = serializers.CharField(required=False)


def found(targets: Mapping[str, Any]) -> list[Machine]:
    """``resolve``, for who wants them now. Raises ``PlanRefused`` also where some are meant and there are none: of a
    kind that may do without a machine, something else would be done.
    """
    machines = resolve(targets)
    if not machines and any(targets.values()):
        raise PlanRefused(
            "no-machine", "No machine matches the targets now.", "Correct the targets, or label a machine.", "targets"
        )
    return machines


def resolve(targets: Mapping[str, Any]) -> list[Machine]:
    """The machines that targets mean now.

    Raises ``PlanRefused`` for what is not there, and for what it does not know: without it, more machines were meant.
    """
    ways = [way for way in ("machines", "group") if way in targets]
    known = ways[:1] or [one.name for one in fields(Selection)]
    if unknown := sorted(set(targets) - set(known)):
        raise PlanRefused(
            "targets-invalid",
            f"Targets of this form have no {unknown[0]}.",
            f"Give one of {', '.join(known)}, or another form: machines, group, or filters.",
            f"targets.{unknown[0]}",
        )
    if "machines" in targets:
        names = list(dict.fromkeys(targets["machines"]))
        found = {machine.name: machine for machine in Machine.objects.filter(name__in=names)}
        missing = [name for name in names if name not in found]
        if missing:
            raise PlanRefused(
                "machine-unknown", f"There is no machine called {missing[0]}.", "Correct the targets.", "targets"
            )
        return [found[name] for name in names]
    if "group" in targets:
        group = Group.objects.filter(name=targets["group"]).first()
        if group is None:
            raise PlanRefused(
                "group-unknown", f"There is no group called {targets['group']}.", "Correct the targets.", "targets"
            )
        return group.resolve()
    wanted = Selection.from_json(targets)
    # Without a filter it would be the whole fleet, which nobody means by saying nothing.
    return usable(wanted.machines(facts=True)) if wanted else []
