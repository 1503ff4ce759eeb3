"""Which machines can take a release or a package, and why the others can't: preflight's own judgement of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hardware.inventory.compatibility.services import refresh
from hardware.inventory.groups.models import Group
from hardware.inventory.models import Machine
from hardware.inventory.preflight import Check, Mend, Severity
from hardware.inventory.preflight.compatibility import judge as compatible
from hardware.inventory.preflight.records import ORDER
from hardware.inventory.selection import USABLE, Selection
from hardware.inventory.standing import Standing
from jobs import readiness, registry
from jobs.depot.contents import part_of
from jobs.depot.models import Artifact
from jobs.depot.services import Depot
from jobs.failures import PlanRefused
from jobs.kind import Target
from jobs.rollout.models import Release

# What can be asked about, beside releases: the type of a package -> the kind of job that would install it.
PACKAGES = {
    "driver": "install-driver", "firmware": "install-driver", "cann": "install-cann", "mindspore": "install-mindspore",
}  # fmt: skip
# From what stands in the way to what can begin. ``unprobed``: no facts; ``unused``: nothing may log in there.
OUTCOMES = ("block", "unknown", "warn", "pass", "unprobed", "unused")


@dataclass(frozen=True)
class Aim:
    """What the machines are to take: a kind of job with its parameters. ``key`` is ``release-3`` or ``artifact-7``."""

    key: str
    title: str
    kind: str
    params: dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """``checks`` are those that did not pass, the worst first; ``outcome`` is one of ``OUTCOMES``."""

    machine: Machine
    outcome: str
    checks: Sequence[Check] = ()


@dataclass
class Cause:
    """Machines that share a check, and the one job that mends it for all of them."""

    check: Check
    machines: list[str] = field(default_factory=list)
    same: bool = True

    @property
    def severity(self) -> Severity:
        return self.check.severity

    @property
    def mend(self) -> Mend | None:
        return self.check.mend


@dataclass(frozen=True)
class Fleet:
    """The verdicts of all machines that were asked about."""

    verdicts: list[Verdict]

    @cached_property
    def counts(self) -> dict[str, int]:
        found = Counter(verdict.outcome for verdict in self.verdicts)
        return {outcome: found[outcome] for outcome in OUTCOMES}

    @cached_property
    def causes(self) -> list[Cause]:
        """What does not pass, the worst first, then what most machines share. A cause is one code with one mend."""
        found: dict[str, Cause] = {}
        for verdict in self.verdicts:
            for check in verdict.checks:
                cause = found.setdefault(repr((check.code, check.severity, check.mend)), Cause(check))
                # A driver and its firmware may both say it of one machine.
                if verdict.machine.name not in cause.machines[-1:]:
                    cause.machines.append(verdict.machine.name)
                cause.same = cause.same and cause.check.reason == check.reason
        return sorted(found.values(), key=lambda one: (ORDER[one.severity], -len(one.machines), one.check.code))

    def of(self, *outcomes: str) -> list[Verdict]:
        return [verdict for verdict in self.verdicts if verdict.outcome in outcomes]


def of_release(release: Release) -> Aim:
    return Aim(f"release-{release.pk}", str(release), "rollout", {"release": release.pk, "batch_size": 1})


def of_package(artifact: Artifact, depot: Depot) -> Aim:
    """A package of the depot; a driver with the newest firmware there that goes with it, and the other way round.

    Raises ``PlanRefused`` for what is not installed by itself, or has no counterpart.
    """
    kind = PACKAGES.get(artifact.type)
    if kind is None:
        raise PlanRefused(
            "not-a-package", f"{artifact.name} is not installed by itself.", "Choose a driver, CANN or MindSpore.", "id"
        )
    params: dict[str, Any] = {artifact.type: artifact.pk}
    if kind == "install-driver":
        refresh()
        mine = part_of(artifact.ref())
        other = "firmware" if artifact.type == "driver" else "driver"
        theirs = [part_of(ref) for ref in depot.find(other)]
        fitting = [one for one in theirs if one.chip == mine.chip and compatible(mine, one).fits is not False]
        # One that is known to go with it before one that nobody knows of; of these the newest that came in.
        fitting.sort(key=lambda one: not compatible(mine, one).fits)
        if not fitting:
            raise PlanRefused(
                "counterpart-missing", f"The depot has no {other} that goes with {artifact.name}.",
                f"Ingest the {other} of the same set.", "id",
            )  # fmt: skip
        params[other] = fitting[0].artifact
    asked = registry.get(kind).Params(data=params)
    asked.is_valid(raise_exception=True)
    return Aim(f"artifact-{artifact.pk}", f"{artifact.name}", kind, dict(asked.validated_data))


def members(selection: Selection, group: Group | None = None) -> list[Machine]:
    """The machines that are asked about, by name, with their facts; retired ones are not."""
    if group is None:
        found = selection.machines(facts=True)
    else:
        found = [machine for machine in group.members(facts=True) if _lets(selection, machine)]
    return sorted((machine for machine in found if machine.state != Machine.State.RETIRED), key=lambda one: one.name)


def assess(aim: Aim, machines: Sequence[Machine]) -> Fleet:
    """The verdict on each machine, in their order. Raises ``PlanRefused`` when the aim itself can't be planned."""
    depot, kind = Depot(), registry.get(aim.kind)
    usable = [machine for machine in machines if machine.state in USABLE and machine.facts]
    targets = [Target(machine.name, machine.read) for machine in usable]
    judged = {target.name: checks for target, checks in readiness.judge(kind, aim.params, targets, depot)}
    return Fleet([_verdict(machine, judged.get(machine.name)) for machine in machines])


def _verdict(machine: Machine, checks: Sequence[Check] | None) -> Verdict:
    if machine.state not in USABLE:
        return Verdict(machine, "unused")
    if checks is None:
        return Verdict(machine, "unprobed")
    left = [check for check in checks if check.severity != "pass"]
    return Verdict(machine, left[0].severity if left else "pass", left)


def _lets(selection: Selection, machine: Machine) -> bool:
    return selection.lets(Standing(machine))
