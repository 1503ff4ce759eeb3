"""How a machine stands, as the pages show it: one state, the checks behind it, and the job that would mend each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from urllib.parse import urlencode

from django.conf import settings
from django.db.models import QuerySet
from django.urls import NoReverseMatch, reverse
from django.utils.module_loading import import_string

from hardware.inventory import causes, wording
from hardware.inventory.compatibility.services import refresh
from hardware.inventory.facts import Facts
from hardware.inventory.models import Machine
from hardware.inventory.preflight import Check, Mend, Need, evaluate
from hardware.inventory.preflight.compatibility import in_force

# What every machine of the fleet is to have: it can build the driver, and its NPUs answer.
FLEET = Need(kernel_headers=True, packages=("dkms", "gcc", "make"), driver_tools=True, npus=True)


_need = FLEET


def with_stock() -> Need:
    """What every machine is to have, with the packages of the depot that would mend what it lacks."""
    global _need
    stock = import_string(settings.PREFLIGHT_STOCK)()
    # The same one while the depot has the same: checks that were made with it are known by that.
    if _need.depot != stock:
        _need = replace(FLEET, depot=stock)
    return _need


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
    case: str = ""

    @property
    def button(self) -> str:
        return wording.button(self.mend) if self.mend else ""

    @property
    def url(self) -> str:
        return new_job(self.mend.kind, [self.machine], **self.mend.params) if self.mend else ""


class Known:
    """Facts that were read before, and their checks, which rest on them and on the table of what runs with what."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self._judged_by: tuple[object, Need] = (None, FLEET)
        self._checks: list[Check] = []

    def checks(self, need: Need) -> list[Check]:
        table, before = self._judged_by
        if table is not in_force() or before is not need:
            self._judged_by, self._checks = (in_force(), need), evaluate(self.facts, need)
        return self._checks


# By machine and by when they were read; some 15 KB each.
_known: dict[tuple[int, datetime], Known] = {}
KNOWN = 6000
CHUNK = 500


def standings(machines: QuerySet[Machine]) -> list[Standing]:
    """Many machines at once: facts that have been looked at before are not read again, they are most of the work."""
    refresh()
    need = with_stock()
    found = list(machines.defer("facts"))
    missing = [one.pk for one in found if one.facts_at and (one.pk, one.facts_at) not in _known]
    if len(_known) + len(missing) > KNOWN:
        _known.clear()
        missing = [one.pk for one in found if one.facts_at]
    for first in range(0, len(missing), CHUNK):
        rows = Machine.objects.filter(pk__in=missing[first : first + CHUNK]).values_list("pk", "facts_at", "facts")
        for pk, facts_at, facts in rows:
            if facts and facts_at:
                _known[pk, facts_at] = Known(Facts.from_json(facts))
    return [Standing(one, need, _known.get((one.pk, one.facts_at)) if one.facts_at else None) for one in found]


class Standing:
    """``state`` is ``new``, ``blocked``, ``silent``, ``retired``, ``unprobed``, ``attention`` or ``ready``.

    ``need`` is ``with_stock()`` where somebody reads the checks; the state does not rest on the depot.
    """

    def __init__(self, machine: Machine, need: Need = FLEET, known: Known | None = None) -> None:
        self.machine = machine
        self._need = need
        self._known = known

    @cached_property
    def facts(self) -> Facts | None:
        return self._known.facts if self._known else self.machine.read

    @cached_property
    def checks(self) -> list[Check]:
        if self._known:
            return self._known.checks(self._need)
        refresh()
        return evaluate(self.facts, self._need) if self.facts else []

    @cached_property
    def rows(self) -> list[Row]:
        name = self.machine.name
        return [
            Row(c.code, c.severity, wording.cause(c), wording.reason(c), c.mend, name, c.values.get("case", ""))
            for c in self.checks
        ]

    @cached_property
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
    def unknowns(self) -> list[Row]:
        return [row for row in self.rows if row.severity == "unknown"]

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
    def trouble_cause(self) -> str:
        return causes.cause(self.machine.trouble.get("cause", ""))

    @property
    def tried_again_at(self) -> datetime | None:
        """When the collector logs in again after a login that was refused."""
        said = self.machine.trouble.get("again_at")
        return datetime.fromisoformat(said) if said else None

    @property
    def trouble_mend(self) -> str:
        return wording.trouble_mend(self.machine.trouble.get("code", ""), self.machine.trouble.get("mend", ""))
