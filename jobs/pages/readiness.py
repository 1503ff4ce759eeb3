"""What preflight says about a plan's machines, for its page: what blocks first, each with the button that mends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from hardware.inventory import wording as checks
from hardware.inventory.preflight import Mend, Severity
from hardware.inventory.preflight.records import ORDER
from jobs import readiness
from jobs.kind import DepotView, Kind, Target
from jobs.pages import forms
from jobs.pages.targets import MOST_NAMES

# Machines that are named where several share a check.
TOLD = 8


@dataclass
class ShownCheck:
    severity: Severity
    machines: list[str]
    reason: str
    mend_label: str = ""
    mend_url: str = ""

    @property
    def names(self) -> str:
        told = ", ".join(self.machines[:TOLD])
        return f"{told} …" if len(self.machines) > TOLD else told


@dataclass
class Preflight:
    """What blocks and what warns, each with the machines that share it; what passes is a count."""

    checks: list[ShownCheck]
    passed: int

    @property
    def blocking(self) -> list[str]:
        """The machines that something blocks."""
        return list(dict.fromkeys(name for c in self.checks if c.severity == "block" for name in c.machines))

    @property
    def warnings(self) -> int:
        return sum(len(check.machines) for check in self.checks if check.severity == "warn")

    @property
    def unknowns(self) -> int:
        return sum(len(check.machines) for check in self.checks if check.severity == "unknown")

    @property
    def blocks(self) -> int:
        return sum(len(check.machines) for check in self.checks if check.severity == "block")

    @property
    def worst(self) -> str:
        return next((check.severity for check in self.checks), "pass")


def mend_url(mend: Mend, machines: Sequence[str]) -> str:
    """The page that shows the plan of the job that would mend it, on as many machines as an address carries."""
    query = {"kind": mend.kind, "machine": list(machines[:MOST_NAMES])} | forms.query(mend.params)
    return f"{reverse('job-new')}?{urlencode(query, doseq=True)}"


def preflight(kind: Kind, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> Preflight:
    """The checks of all targets, what blocks first; the same of several machines is told once."""
    found: dict[tuple[str, str, str], ShownCheck] = {}
    mends: dict[tuple[str, str, str], Mend] = {}
    passed = 0
    for target, of_machine in readiness.judge(kind, params, targets, depot):
        for check in of_machine:
            if check.severity == "pass":
                passed += 1
                continue
            said = checks.reason(check)
            key = (str(check.severity), said, repr(check.mend))
            found.setdefault(key, ShownCheck(check.severity, [], said)).machines.append(target.name)
            if check.mend is not None:
                mends[key] = check.mend
    for key, mend in mends.items():
        found[key].mend_label = checks.button(mend)
        found[key].mend_url = mend_url(mend, found[key].machines)
    return Preflight(sorted(found.values(), key=lambda check: ORDER[check.severity]), passed)
