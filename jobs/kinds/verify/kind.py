"""Verify that a machine is as a bring-up leaves it. Nothing is changed: it reads, computes once, and reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from hardware.inventory.preflight import interpreter
from jobs.actions.expectations import ANY
from jobs.failures import PlanRefused
from jobs.kind import DepotView, Kind, Target
from jobs.plan import Lane, Plan, ReadFacts, RunCommand, Stage, Step
from jobs.software.mindspore import check_command, judge_check


class Params(serializers.Serializer[Any]):
    cann = serializers.BooleanField(default=True, label=_("CANN must be there"))
    mindspore = serializers.BooleanField(
        default=True, label=_("MindSpore must compute on an NPU"), help_text=_("A multiplication on the first NPU.")
    )


class Verify(Kind):
    slug = "verify"
    title = _("Verify")
    summary = _(
        "Every chip of the bus listed and healthy, driver and firmware a pair, CANN, MindSpore; changes nothing."
    )
    mutates = False
    Params = Params

    def plan(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> Plan:
        return Plan([Stage("Verify", [self._lane(target, params) for target in targets])])

    def _lane(self, target: Target, params: dict[str, Any]) -> Lane:
        facts = target.require_facts()
        chips = len(facts.pci_npus)
        if chips == 0:
            raise PlanRefused(
                "no-npu", f"{target.name} has no NPU on its PCI bus.", "Take it out of the targets.", "targets"
            )
        expect: dict[str, Any] = {"npus": chips, "nodes": chips, "pair": True}
        expect |= {name: ANY for name in ("cann", "mindspore") if params[name]}
        steps = [Step("look", f"{chips} healthy NPUs, and software that fits", ReadFacts(expect))]
        if params["mindspore"]:
            there = facts.mindspore
            if there is None or (python := interpreter(facts, there.python)) is None:
                raise PlanRefused(
                    "mindspore-missing",
                    f"{target.name} had no MindSpore, or no Python for it, when it was probed last.",
                    "Install MindSpore, or verify without it.",
                    "mindspore",
                )
            check = RunCommand(check_command(python, there.version), timeout_s=900, repeatable=True)
            steps.append(Step("mindspore", f"MindSpore {there.version} computes on an NPU", check))
        return Lane(target.name, steps)

    def judge(self, step: Step, exit_status: int, log: str) -> dict[str, Any]:
        if step.key == "mindspore":
            return judge_check(step.title, exit_status, log)
        return super().judge(step, exit_status, log)

    def summarize(self, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """A row a machine; the answer of its check stands behind its facts."""
        rows: list[dict[str, Any]] = []
        for result in results:
            if "machine" in result:
                rows.append(dict(result))
            elif rows and "mindspore_check" in result:
                rows[-1] |= result
        return {"artifacts": [], "report": {"machines": rows}}
