"""What a new job is aimed at: machines that were ticked, whoever passes filters, or a saved group."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet
from django.http import QueryDict
from django.utils.translation import gettext as _

from hardware.inventory.groups.models import Group
from hardware.inventory.models import Machine
from hardware.inventory.selection import USABLE, Selection, usable
from hardware.inventory.wording import selection as in_words
from jobs.kind import Kind
from jobs.pipelines.definition import Definition

AIMS = ("machines", "filter", "group")
# What an address may carry from page to page: a request line of 8 KiB is what servers in between let through.
MOST_NAMES = 300
# Filters of the Machines page that the form carries along without showing an input for them.
OTHERS = ("text", "state", "chip", "driver")


@dataclass(frozen=True)
class Targets:
    """``aim`` is one of ``AIMS``; only what belongs to it counts."""

    aim: str
    names: tuple[str, ...] = ()
    selection: Selection = field(default_factory=Selection)
    group: str = ""

    @classmethod
    def of(cls, data: QueryDict, kind: Kind | Definition) -> Targets:
        """As an address or a form gives them. A kind that takes one machine has it ticked."""
        names = tuple(dict.fromkeys(filter(None, data.getlist("machine"))))
        given: dict[str, Any] = {name: data.get(name, "").strip() for name in ("site", *OTHERS)}
        labels = [word.strip() for text in [*data.getlist("label"), data.get("labels", "")] for word in text.split(",")]
        wanted = Selection.from_json({**given, "labels": list(dict.fromkeys(filter(None, labels)))})
        group = data.get("group", "").strip()
        aim = data.get("aim", "")
        if aim not in AIMS:
            aim = "group" if group else "filter" if wanted else "machines"
        return cls(aim if kind.targets == "many" else "machines", names, wanted, group)

    @property
    def given(self) -> bool:
        """Whether anything was said of them."""
        return bool({"machines": self.names, "filter": self.selection, "group": self.group}[self.aim])

    def members(self, *, facts: bool = False) -> list[Machine]:
        """All machines that are meant now, also those that nothing logs in to."""
        if self.aim == "machines":
            found: QuerySet[Machine] = Machine.objects.filter(name__in=self.names)
            return list(found if facts else found.defer("facts"))
        if self.aim == "group":
            group = Group.objects.filter(name=self.group).first()
            return group.members(facts=facts) if group else []
        return self.selection.machines(facts=facts) if self.selection else []

    def resolve(self) -> tuple[list[Machine], list[Machine]]:
        """The machines to plan for, with their facts, and those that filters or a group mean but are left out."""
        found = self.members(facts=True)
        if self.aim == "machines":
            return found, []
        return usable(found), [machine for machine in found if machine.state not in USABLE]

    def wrong(self, found: list[Machine]) -> str:
        """What is wrong with them, in the reader's language; empty when nothing is."""
        if self.aim == "machines":
            unknown = sorted(set(self.names) - {machine.name for machine in found})
            return _("There is no machine called %(name)s.") % {"name": ", ".join(unknown)} if unknown else ""
        if self.aim == "group":
            if not self.group:
                return _("Choose a group.")
            if not Group.objects.filter(name=self.group).exists():
                return _("There is no group called %(name)s.") % {"name": self.group}
        elif not self.selection:
            return _("Choose a site or a label.")
        return "" if found else _("No machine that something may log in to belongs to it now.")

    def query(self) -> list[tuple[str, str]]:
        """As the query of an address."""
        if self.aim == "group":
            return [("aim", "group"), ("group", self.group)]
        if self.aim == "machines":
            return [("aim", "machines"), *(("machine", name) for name in self.names)]
        query = [("aim", "filter")]
        for name, value in self.selection.to_json().items():
            query += [("label", label) for label in value] if name == "labels" else [(name, value)]
        return query

    def words(self) -> str:
        """What filters or a group are called; empty for a list."""
        if self.aim == "group":
            return _("group %(name)s") % {"name": self.group}
        return in_words(self.selection) if self.aim == "filter" else ""


def offered(targets: Targets, kind: Kind | Definition) -> dict[str, Any]:
    """What the form offers: every machine (one that nothing logs in to can't be ticked), sites, labels, groups."""
    if kind.targets == "none":
        return {"machines": []}
    machines = list(Machine.objects.exclude(state=Machine.State.RETIRED).defer("facts"))
    ticked = set(targets.names)
    # What is wanted already stays, also while no machine has it.
    labels: dict[str, int] = dict.fromkeys(targets.selection.labels, 0)
    sites: dict[str, int] = {targets.selection.site: 0} if targets.selection.site else {}
    for machine in machines:
        for label in machine.labels:
            labels[label] = labels.get(label, 0) + 1
        if machine.site:
            sites[machine.site] = sites.get(machine.site, 0) + 1
    rest = {name: getattr(targets.selection, name) for name in OTHERS}
    many = kind.targets == "many"
    return {
        "machines": [
            {"machine": m, "on": m.name in ticked, "pickable": m.state in USABLE or m.name in ticked} for m in machines
        ],
        "labels": [(label, count, label in targets.selection.labels) for label, count in sorted(labels.items())],
        "sites": sorted(sites.items()),
        "groups": [(g.name, len(g.members()), g.note) for g in Group.objects.all()] if many else [],
        "rest": [(name, value) for name, value in rest.items() if value],
    }
