"""Kinds of one step each: a transfer, a gate, a probe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rest_framework import serializers

from jobs import registry
from jobs.kind import DepotView, Kind, Target
from jobs.plan import Lane, Plan, ReadFacts, Request, SendArtifact, Stage, Step


class Params(serializers.Serializer[Any]):
    action = serializers.JSONField()


class Single(Kind):
    slug = "single"
    title = "One step"
    Params = Params

    def plan(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> Plan:
        given = dict(params["action"])
        make = {"send": SendArtifact, "request": Request, "facts": ReadFacts}[given.pop("type")]
        return Plan([Stage("Do", [Lane(target.name, [Step("only", "Only", make(**given))]) for target in targets])])


def register() -> None:
    registry.all_kinds()["single"] = Single()
