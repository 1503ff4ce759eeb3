"""Which machines are meant: the filters of the Machines page, of a saved group and of a job by label or site."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hardware.inventory.models import Machine
from hardware.inventory.standing import Standing

# States of a machine that a job may be run on; to the others nothing logs in.
USABLE = (Machine.State.READY, Machine.State.SILENT)
# Filters that only the facts can answer.
_OF_FACTS = ("state", "chip", "driver")


@dataclass(frozen=True)
class Selection:
    """Filters; one that is empty lets every machine through, a machine must pass all of them.

    ``labels`` must all be on it. ``state`` is that of ``Standing``. ``text`` is looked for in name, address, site and
    labels, in small or capital letters.
    """

    text: str = ""
    site: str = ""
    labels: tuple[str, ...] = ()
    state: str = ""
    chip: str = ""
    driver: str = ""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Selection:
        """As it was stored; names that are not known (any more) are left out."""
        known = {name: data[name] for name in cls.__dataclass_fields__ if data.get(name)}
        if "labels" in known:
            known["labels"] = tuple(known["labels"])
        return cls(**known)

    def to_json(self) -> dict[str, Any]:
        """The filters that are set."""
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items() if value
        }

    def __bool__(self) -> bool:
        return bool(self.to_json())

    def lets(self, standing: Standing) -> bool:
        """Whether the machine passes."""
        machine = standing.machine
        if self.site and machine.site != self.site:
            return False
        if not set(self.labels) <= set(machine.labels):
            return False
        if self.text and not _mentions(machine, self.text.lower()):
            return False
        return all(not wanted or wanted == getattr(standing, name) for name, wanted in self._of_facts())

    def machines(self, *, facts: bool = False) -> list[Machine]:
        """The machines that pass now, in the order of the fleet. Retired ones only where ``state`` asks for them.

        ``facts``: read them along, for planning; they are most of a machine's row.
        """
        found = Machine.objects.select_related("credential")
        if not facts and not any(wanted for _name, wanted in self._of_facts()):
            found = found.defer("facts")
        if self.state != Machine.State.RETIRED:
            found = found.exclude(state=Machine.State.RETIRED)
        if self.site:
            found = found.filter(site=self.site)
        return [machine for machine in found if self.lets(Standing(machine))]

    def _of_facts(self) -> list[tuple[str, str]]:
        return [(name, getattr(self, name)) for name in _OF_FACTS]


def usable(machines: Iterable[Machine]) -> list[Machine]:
    """Those that a job may be run on."""
    return [machine for machine in machines if machine.state in USABLE]


def labels_of(machines: Iterable[Machine]) -> list[str]:
    """Every label that one of them has."""
    return sorted({label for machine in machines for label in machine.labels})


def sites_of(machines: Sequence[Machine]) -> list[str]:
    return sorted({machine.site for machine in machines if machine.site})


def _mentions(machine: Machine, text: str) -> bool:
    return any(text in value.lower() for value in (machine.name, machine.host, machine.site, *machine.labels))
