"""What preflight says about a plan's machines, for its page: what blocks first, each with the button that mends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from hardware.inventory import wording as checks
from hardware.inventory.preflight import Mend
from jobs.kind import DepotView, Kind, Target
from jobs.pages import forms


@dataclass
class ShownCheck:
    severity: str
    machine: str
    reason: str
    mend_label: str = ""
    mend_url: str = ""


@dataclass
class Preflight:
    """What blocks and what warns, each with its machine; what passes is a count."""

    checks: list[ShownCheck]
    passed: int

    @property
    def blocking(self) -> list[str]:
        """The machines that something blocks."""
        return list(dict.fromkeys(check.machine for check in self.checks if check.severity == "block"))

    @property
    def warnings(self) -> int:
        return sum(1 for check in self.checks if check.severity == "warn")

    @property
    def blocks(self) -> int:
        return sum(1 for check in self.checks if check.severity == "block")

    @property
    def worst(self) -> str:
        return "block" if self.blocks else "warn" if self.warnings else "pass"


def mend_url(mend: Mend, machine: str) -> str:
    """The page that shows the plan of the job that would mend it."""
    query = {"kind": mend.kind, "machine": machine} | forms.query(mend.params)
    return f"{reverse('job-new')}?{urlencode(query, doseq=True)}"


def preflight(kind: Kind, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> Preflight:
    """Every target's checks, what blocks first."""
    found: list[ShownCheck] = []
    passed = 0
    for target in targets:
        for check in kind.preflight(params, target, depot):
            if check.severity == "pass":
                passed += 1
                continue
            said = checks.reason(check, target.require_facts())
            made = ShownCheck(check.severity, target.name, said)
            if check.mend is not None:
                made.mend_label = checks.button(check.mend)
                made.mend_url = mend_url(check.mend, target.name)
            found.append(made)
    return Preflight(sorted(found, key=lambda check: check.severity), passed)
