"""The kinds of job that are measured: one that does nothing, one that runs a command on machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rest_framework import serializers

from jobs import registry
from jobs.kind import DepotView, Kind, Target
from jobs.plan import Lane, Plan, RunCommand, Stage, Step


class Nothing(Kind):
    slug = "bench-nothing"
    title = "Nothing"
    targets = "none"
    mutates = False
    Params = serializers.Serializer

    def plan(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> Plan:
        return Plan([])


class CommandParams(serializers.Serializer[Any]):
    command = serializers.CharField()
    steps = serializers.IntegerField(default=1)


class Command(Kind):
    """``steps`` runs of the command one after another on each machine. It takes no locks."""

    slug = "bench-command"
    title = "Command"
    mutates = False
    Params = CommandParams

    def plan(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> Plan:
        steps = [
            Step(f"run-{n}", f"Run {n}", RunCommand(params["command"], timeout_s=3600)) for n in range(params["steps"])
        ]
        return Plan([Stage("Run", [Lane(target.name, steps) for target in targets])])


class Change(Command):
    """The same with locks, as a job has them that changes its machines."""

    slug = "bench-change"
    title = "Change"
    mutates = True


def register() -> None:
    """Make them known to this process."""
    for kind in (Nothing(), Command(), Change()):
        registry.all_kinds()[kind.slug] = kind
