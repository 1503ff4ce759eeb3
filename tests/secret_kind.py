"""A kind with secrets whose command a test chooses: where they turn up is what is tested."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rest_framework import serializers

from hardware.inventory.models import Machine
from jobs import registry
from jobs.kind import DepotView, Kind, Target
from jobs.models import Job
from jobs.plan import Lane, Plan, RunCommand, Stage, Step
from jobs.secrets.models import JobSecret


class Params(serializers.Serializer[Any]):
    command = serializers.CharField()
    password = serializers.CharField(trim_whitespace=False)
    token = serializers.CharField(required=False, default="", allow_blank=True, trim_whitespace=False)
    bug = serializers.BooleanField(default=False)


class Guarded(Kind):
    slug = "guarded"
    title = "Guarded"
    secrets = frozenset({"password", "token"})
    Params = Params

    def plan(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> Plan:
        names = ["password"] + (["token"] if params["token"] else [])
        # What a careless kind would do: the placeholder is all that it gets.
        title = f"Log in with {params['password']}"
        first = RunCommand(params["command"], timeout_s=60, repeatable=True, secrets=names)
        return Plan([Stage("Run", [Lane(t.name, [Step("first", title, first)]) for t in targets])])

    def succeeded(self, step: Step, machine: Machine | None, job: Job) -> None:
        if job.params["bug"]:
            raise RuntimeError(f"could not use {JobSecret.objects.get(name='password').value}")


def register() -> None:
    registry.all_kinds()["guarded"] = Guarded()
