"""A kind whose plan depends on what the facts of its machines say, and on nothing else of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rest_framework import serializers

from hardware.inventory.models import Machine
from hardware.inventory.preflight import Check
from jobs import registry
from jobs.kind import DepotView, Kind, Target
from jobs.plan import Lane, Plan, RunCommand, Stage, Step


class Params(serializers.Serializer[Any]):
    touch = serializers.CharField()
    password = serializers.CharField(required=False, default="", allow_blank=True)
    # Left empty by a person it stays empty, whatever is usual.
    words = serializers.CharField(required=False, default="usual", allow_blank=True)


class Factual(Kind):
    slug = "factual"
    title = "Factual"
    secrets = frozenset({"password"})
    Params = Params

    def preflight(self, params: dict[str, Any], target: Target, depot: DepotView) -> list[Check]:
        if target.require_facts().docker == "broken":
            return [Check("docker", "block", "docker is broken")]
        return []

    def plan(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> Plan:
        return Plan([Stage("Run", [Lane(target.name, self._steps(params, target)) for target in targets])])

    def _steps(self, params: dict[str, Any], target: Target) -> list[Step]:
        kernel = target.require_facts().kernel
        said = "" if params["words"] == "usual" else f" # {params['words']}"
        secrets = ["password"] if params["password"] else []
        steps = [Step("only", "Only", RunCommand(f"echo {kernel}; touch {params['touch']}{said}", secrets=secrets))]
        if kernel == "two":
            steps.append(Step("more", "More", RunCommand("true")))
        return steps


def register() -> None:
    registry.all_kinds()["factual"] = Factual()


def say(machine: Machine, **facts: Any) -> Machine:
    """The machine as a probe that read this would leave it."""
    machine.facts = {**machine.facts, **facts}
    machine.save()
    return machine
