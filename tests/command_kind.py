"""A kind that runs the command it is given: what the engine does with it is what is tested."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rest_framework import serializers

from jobs import registry
from jobs.kind import DepotView, Kind, Target
from jobs.plan import Lane, Plan, RunCommand, Stage, Step


class Params(serializers.Serializer[Any]):
    command = serializers.CharField()
    timeout_s = serializers.IntegerField(default=60)
    then = serializers.CharField(default="true")
    on_failure = serializers.CharField(default="")
    repeatable = serializers.BooleanField(default=False)


class Command(Kind):
    slug = "command"
    title = "Command"
    Params = Params

    def plan(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> Plan:
        undo = [Step("undo", "Undo", RunCommand(params["on_failure"]))] if params["on_failure"] else []
        first = RunCommand(params["command"], timeout_s=params["timeout_s"], repeatable=params["repeatable"])
        steps = [
            Step("first", "First", first),
            Step("then", "Then", RunCommand(params["then"])),
        ]
        return Plan([Stage("Run", [Lane(target.name, steps, undo) for target in targets])])


def register() -> None:
    registry.all_kinds()["command"] = Command()
