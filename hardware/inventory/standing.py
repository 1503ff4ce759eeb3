"""How a machine stands, as the pages show it: one state, the checks behind it, and the job that would mend each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlencode

from django.urls import NoReverseMatch, reverse

from hardware.inventory import wording
from hardware.inventory.facts import Facts
from hardware.inventory.models import Machine
from hardware.inventory.preflight import Check, Mend, Need, evaluate

# What every machine of the fleet is to have: it can build the driver, and its NPUs answer.
FLEET = Need(kernel_headers=True, packages=("dkms", "gcc", "make"), npus=True)


def new_job(kind: str, machines: list[str], **params: object) -> str:
    """Where a job of this kind on these machines is planned, with its parameters filled in; empty without that page."""
    query: list[tuple[str, object]] = [("kind", kind)] if kind else []
    query += [("machine", name) for name in machines]
    for name, value in params.items():
        query += [(name, item) for item in (value if isinstance(value, list | tuple) else [value])]
    try:
        return f"{reverse('job-new')}?{urlencode(query)}"
    except NoReverseMatch:
        return ""


@dataclass(frozen=True)
class Row:
    """A check as a page shows it."""

    code: str
    severity: str
    cause: str
    reason: str
    mend: Mend | None
    machine: str

    @property
    def button(self) -> str:
        return wording.button(self.mend) if self.mend else ""

    @property
    def url(self) -> str:
        return new_job(self.mend.kind, [self.machine], **self.mend.params) if self.mend else ""


class Standing:
    """``state`` is ``new``, ``blocked``, ``silent``, ``retired``, ``unprobed``, ``attention`` or ``ready``."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    @cached_property
    def facts(self) -> Facts | None:
        return self.machine.read

    @cached_property
    def checks(self) -> list[Check]:
        return evaluate(self.facts, FLEET) if self.facts else []

    @cached_property
    def rows(self) -> list[Row]:
        facts = self.facts
        if facts is None:
            return []
        name = self.machine.name
        return [Row(c.code, c.severity, wording.cause(c), wording.reason(c, facts), c.mend, name) for c in self.checks]

    @property
    def state(self) -> str:
        if self.machine.state != Machine.State.READY:
            return str(self.machine.state)
        if self.facts is None:
            return "unprobed"
        ill = any(c.severity == "block" or (c.code, c.severity) == ("npus-healthy", "warn") for c in self.checks)
        return "attention" if ill else "ready"

    @property
    def blocks(self) -> list[Row]:
        return [row for row in self.rows if row.severity == "block"]

    @property
    def warns(self) -> list[Row]:
        return [row for row in self.rows if row.severity == "warn"]

    @property
    def passes(self) -> list[Row]:
        return [row for row in self.rows if row.severity == "pass"]

    @property
    def npu_count(self) -> int:
        """Chips that the machine has: on its bus, or listed by npu-smi where the bus could not be read."""
        return max(len(self.facts.pci_npus), len(self.facts.npus)) if self.facts else 0

    @property
    def chip(self) -> str:
        """The name of its chips: ``910A``; empty until a driver names them."""
        return next((npu.name for npu in self.facts.npus if npu.name), "") if self.facts else ""

    @property
    def driver(self) -> str:
        return self.facts.driver.version if self.facts and self.facts.driver else ""

    @property
    def trouble_title(self) -> str:
        return wording.trouble_title(self.machine.trouble.get("code", ""))

    @property
    def trouble_mend(self) -> str:
        return wording.trouble_mend(self.machine.trouble.get("code", ""), self.machine.trouble.get("mend", ""))
