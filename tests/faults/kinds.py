"""Kinds of one step each: any action, and one whose plan can be watched."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rest_framework import serializers

from jobs import registry
from jobs.kind import DepotView, Kind, Target
from jobs.plan import Lane, LocalCommand, Plan, RunCommand, Stage, Step, read_action


class Params(serializers.Serializer[Any]):
    action = serializers.JSONField()


class Single(Kind):
    slug = "single"
    title = "One step"
    Params = Params

    def plan(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> Plan:
        action = read_action(params["action"])
        return Plan([Stage("Do", [Lane(target.name, [Step("only", "Only", action)]) for target in targets])])


class HereParams(serializers.Serializer[Any]):
    code = serializers.CharField()


class Here(Kind):
    """Python on the console itself."""

    slug = "here"
    title = "Here"
    mutates = False
    targets = "none"
    Params = HereParams

    def plan(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> Plan:
        step = Step("first", "First", LocalCommand(["python", "-c", params["code"]]))
        return Plan([Stage("Do", [Lane(None, [step])])])


class WatchedParams(serializers.Serializer[Any]):
    command = serializers.CharField()
    planned = serializers.CharField()
    hangs = serializers.BooleanField()


class Planned(Kind):
    """Makes the file ``planned`` as it plans; ``hangs`` there for a while."""

    slug = "planned"
    title = "Planned"
    Params = WatchedParams

    def plan(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> Plan:
        Path(params["planned"]).touch()
        time.sleep(60 if params["hangs"] else 0)
        step = Step("only", "Only", RunCommand(params["command"]))
        return Plan([Stage("Do", [Lane(target.name, [step]) for target in targets])])


def register() -> None:
    for made in (Single(), Here()):
        registry.all_kinds()[made.slug] = made
