"""What a plan would do, machine by machine, as the REST API tells it: nothing here changes anything."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from rest_framework import serializers

from hardware.inventory.models import Machine
from hardware.inventory.preflight import Check
from jobs import readiness, registry
from jobs.approvals.rules import concerning
from jobs.depot.services import Depot
from jobs.kind import Target
from jobs.options import Options
from jobs.planning import forecast
from jobs.planning.forecast import Forecast
from jobs.services import AS_USUAL, plan


def of_request(
    slug: str, params: dict[str, Any], machines: Sequence[Machine], options: Options = AS_USUAL
) -> dict[str, Any]:
    """The plan, what preflight says, and how long it may take. Raises ``PlanRefused``."""
    made, clean = plan(slug, params, machines, options)
    kind, shown = registry.get(slug), made.to_json()
    targets = [Target(machine.name, machine.read) for machine in machines]
    foreseen = forecast.of_plan(slug, shown, options.parallel)
    return {
        "plan": shown,
        "plan_hash": made.hash,
        "preflight": {target.name: checks(found) for target, found in readiness.judge(kind, clean, targets, Depot())},
        "machines": lanes(shown, foreseen),
        "estimate": foreseen.to_json(),
        "approval_rules": [str(rule) for rule in concerning(kind, machines)],
    }


def command_of(action: Mapping[str, Any]) -> str | None:
    """The command line as it runs, byte for byte, or the request; ``None`` for what is neither."""
    match action["type"]:
        case "run" | "reboot":
            return str(action["command"])
        case "local":
            return shlex.join(action["arguments"])
        case "request":
            return f"{action['method']} http://127.0.0.1:{action['port']}{action['path']}"
        case "fans":
            bodies = [json.dumps(action[name], ensure_ascii=False) for name in ("hold", "back")]
            return "\n".join(f"PATCH https://{action['address']}{action['path']} {body}" for body in bodies)
    return None


def files_written(action: Mapping[str, Any]) -> list[str]:
    """What the action makes, changes or removes on its machine."""
    if action["type"] == "send":
        return [action["destination"]]
    return list(action.get("writes", ()))


def lanes(shown_plan: Mapping[str, Any], foreseen: Forecast) -> list[dict[str, Any]]:
    """The lanes of each stage in turn, each with its steps in order; ``machine`` is ``None`` for the console itself."""
    shown = []
    for number, stage in enumerate(shown_plan["stages"]):
        for lane in stage["lanes"]:
            steps = [_step(step, foreseen, False) for step in lane["steps"]]
            expected = foreseen.lane(lane["steps"])
            shown.append(
                {
                    "machine": lane["machine"],
                    "stage": number,
                    "stage_title": stage["title"],
                    "steps": steps + [_step(step, foreseen, True) for step in lane["on_failure"]],
                    "bytes": sum(step["transfer"]["bytes"] for step in steps if step["transfer"]),
                    "writes": list(dict.fromkeys(path for step in steps for path in step["writes"])),
                    "expected": expected.to_json() if expected else None,
                }
            )
    return shown


def _step(step: Mapping[str, Any], foreseen: Forecast, on_failure: bool) -> dict[str, Any]:
    action = step["action"]
    expected = None if on_failure else foreseen.steps.get(step["key"])
    transfer = None
    if action["type"] == "send":
        transfer = {
            "name": action["name"],
            "bytes": action["size"],
            "sha256": action["sha256"],
            "destination": action["destination"],
            "mode": f"{action['mode']:o}",
        }
    products = action.get("products", ()) or ([action["product"]] if action["type"] == "fetch" else [])
    return {
        "key": step["key"],
        "title": step["title"],
        "type": action["type"],
        "only_on_failure": on_failure,
        "command": command_of(action),
        "transfer": transfer,
        "writes": files_written(action),
        "secrets": list(action.get("secrets", ())),
        "makes": [{"name": product["name"], "type": product["type"]} for product in products],
        "expected": expected.to_json() if expected else None,
    }


def checks(found: Sequence[Check]) -> list[dict[str, Any]]:
    """What preflight says of one machine, with the job that would mend it."""
    return [
        {
            "code": check.code,
            "severity": check.severity,
            "reason": check.reason,
            "mend": {"label": check.mend.label, "kind": check.mend.kind, "params": check.mend.params}
            if check.mend
            else None,
        }
        for check in found
    ]


class ExpectedSerializer(serializers.Serializer[Any]):
    """Seconds, out of ``runs`` earlier ones; ``runs`` is 0 for a sum."""

    median_s = serializers.FloatField()
    p90_s = serializers.FloatField()
    runs = serializers.IntegerField()


class TransferSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    bytes = serializers.IntegerField()
    sha256 = serializers.CharField()
    destination = serializers.CharField()
    mode = serializers.CharField()


class PlannedStepSerializer(serializers.Serializer[Any]):
    """``command`` is what runs, byte for byte; ``writes`` what it makes, changes or removes on its machine."""

    key = serializers.CharField()
    title = serializers.CharField()
    type = serializers.CharField()
    only_on_failure = serializers.BooleanField()
    command = serializers.CharField(allow_null=True)
    transfer = TransferSerializer(allow_null=True)
    writes = serializers.ListField(child=serializers.CharField())
    secrets = serializers.ListField(child=serializers.CharField())
    makes = serializers.ListField(child=serializers.DictField())
    expected = ExpectedSerializer(allow_null=True)


class PlannedMachineSerializer(serializers.Serializer[Any]):
    """``machine`` is null for the console itself. ``bytes`` are sent; ``expected`` is null with no earlier run."""

    machine = serializers.CharField(allow_null=True)
    stage = serializers.IntegerField()
    stage_title = serializers.CharField()
    steps = PlannedStepSerializer(many=True)
    bytes = serializers.IntegerField()
    writes = serializers.ListField(child=serializers.CharField())
    expected = ExpectedSerializer(allow_null=True)


class EstimateSerializer(serializers.Serializer[Any]):
    """For the whole job, in seconds, without the steps that are ``unknown``: those have no earlier run."""

    median_s = serializers.FloatField(allow_null=True)
    p90_s = serializers.FloatField(allow_null=True)
    unknown = serializers.ListField(child=serializers.CharField())


class DryRunSerializer(serializers.Serializer[Any]):
    """What would run. ``preflight`` is, by machine, each check with its severity, reason and the job that mends it.

    Where ``approval_rules`` names a rule, another person has to approve the job first.
    """

    plan = serializers.DictField()
    plan_hash = serializers.CharField()
    preflight = serializers.DictField()
    machines = PlannedMachineSerializer(many=True)
    estimate = EstimateSerializer()
    approval_rules = serializers.ListField(child=serializers.CharField())
