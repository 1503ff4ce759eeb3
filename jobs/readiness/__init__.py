"""What preflight says of machines for a job: one judgement for its plan, its launch and the view of the fleet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from hardware.inventory.compatibility.services import refresh
from hardware.inventory.preflight import Check, evaluate, in_order
from jobs.kind import DepotView, Kind, Target


def judge(
    kind: Kind, params: dict[str, Any], targets: Sequence[Target], depot: DepotView
) -> Iterator[tuple[Target, list[Check]]]:
    """Each machine with its checks, blocking ones first. What the job asks for is reckoned once for all of them.

    Raises ``PlanRefused`` where the parameters name what is not there, or a machine has no facts.
    """
    refresh()
    need, claims = kind.need(params, depot), kind.claims(params, targets)
    for target in targets:
        checks = kind.preflight(params, target, depot)
        if need is not None:
            its_own = replace(need, claim=claims[target.name])
            checks = in_order([*evaluate(target.require_facts(), its_own), *checks])
        yield target, checks


def checks(kind: Kind, params: dict[str, Any], target: Target, depot: DepotView) -> list[Check]:
    """The same of one machine."""
    return next(judge(kind, params, [target], depot))[1]
