"""The heat map: one cell an NPU, from the newest readings, and from the facts where there are none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from console.templatetags.ui import state_words
from hardware.inventory.standing import Standing
from hardware.telemetry.samples import fresh

HEALTH = {"OK": "ok", "Warning": "warning", "Alarm": "failed", "Critical": "failed"}
# Above this many machines a row each would be scrolled, not read: blocks of small cells then.
DENSE_ABOVE = 40


@dataclass(frozen=True)
class Cell:
    """One NPU of a machine. ``load`` in %, ``temp`` in °C; ``l`` and ``t`` are their steps on the ramps, 0 to 7.

    ``npu`` is its number, or ``None`` for one that no driver lists; ``said`` what npu-smi says of its health.
    """

    machine: str
    npu: int | None
    health: str
    load: int | None = None
    temp: int | None = None
    said: str = ""

    @property
    def words(self) -> str:
        if self.npu is None:
            return _("%(machine)s: an NPU on the bus that no driver lists") % {"machine": self.machine}
        if self.load is None and self.temp is None and not self.said:
            return _("%(machine)s NPU %(npu)s: no reading") % {"machine": self.machine, "npu": self.npu}
        load, temp = ("–" if value is None else value for value in (self.load, self.temp))
        return _words(self.machine, self.npu, load, temp, self.said or "–")

    @property
    def l(self) -> int | None:  # noqa: E743
        return None if self.load is None else min(7, max(0, self.load) * 8 // 100)

    @property
    def t(self) -> int | None:
        return None if self.temp is None else min(7, max(0, (self.temp - 30) * 8 // 60))

    @property
    def bad(self) -> bool:
        return self.health in ("warning", "failed")


@lru_cache(maxsize=1024)
def _dot(l: int | None, t: int | None, health: str) -> str:  # noqa: E741
    load, temp = ("" if step is None else f' data-{name}="{step}"' for name, step in (("l", l), ("t", t)))
    return f'<i{load}{temp} data-h="{health}"></i>'


@dataclass
class MachineRow:
    standing: Standing
    about: str
    cells: list[Cell]

    @property
    def name(self) -> str:
        return self.standing.machine.name

    @cached_property
    def state(self) -> str:
        """That of the machine; an NPU that reads ill now wants attention before the next probe says so."""
        state = self.standing.state
        return "attention" if state == "ready" and any(cell.bad for cell in self.cells) else state

    @cached_property
    def dense(self) -> SafeString:
        """It as a block among a thousand; a template that looks at each of 8,000 cells takes half a second."""
        looks = {"attention": " bad is-warning", "blocked": " bad is-failed", "silent": " lost"}
        look = looks.get(self.state, "" if self.cells else " lost")
        words = f"{self.name}: {state_words(self.state)}"
        dots = "" if self.state == "silent" else "".join(_dot(cell.l, cell.t, cell.health) for cell in self.cells)
        return format_html(
            '<a data-of="{}" class="m{}" href="{}" aria-label="{}" title="{}">{}</a>',
            self.name, look, reverse("machine", args=[self.name]), words, words, mark_safe(dots),
        )  # fmt: skip


@dataclass
class Site:
    name: str
    rows: list[MachineRow] = field(default_factory=list)

    @property
    def npus(self) -> int:
        return sum(row.standing.npu_count for row in self.rows)

    @property
    def load(self) -> int | None:
        """The average load of the NPUs that were read, in %."""
        loads = [cell.load for row in self.rows for cell in row.cells if cell.load is not None]
        return round(sum(loads) / len(loads)) if loads else None

    @property
    def simulated(self) -> bool:
        return all(row.standing.machine.simulated for row in self.rows)


def sites(fleet: Iterable[Standing], newest: dict[str, dict[str, Any]]) -> list[Site]:
    """Machines by site, in rack order. ``newest`` is what ``hardware.telemetry`` read last, by machine."""
    made: dict[str, Site] = {}
    for standing in fleet:
        site = made.setdefault(standing.machine.site, Site(standing.machine.site))
        sample = newest.get(standing.machine.name)
        site.rows.append(MachineRow(standing, _about(standing), _cells(standing, sample)))
    return list(made.values())


def _about(standing: Standing) -> str:
    if standing.facts is None:
        return _("not probed yet")
    if not standing.npu_count:
        return _("no NPU found")
    chips = f"{standing.npu_count} × {standing.chip or 'NPU'}"
    deployment = getattr(standing.machine, "deployment", None)
    if deployment is not None:
        return f"{chips} · {deployment.release}"
    return chips if standing.driver else _("%(chips)s · no driver") % {"chips": chips}


def _cells(standing: Standing, sample: dict[str, Any] | None) -> list[Cell]:
    facts, name = standing.facts, standing.machine.name
    if facts is None:
        return []
    if sample is not None and sample.get("chips") and fresh(sample):
        cells = [_read(name, chip) for chip in sample["chips"]]
    else:
        known = standing.state in ("ready", "attention")
        cells = [
            Cell(name, npu.npu_id or 0, HEALTH.get(npu.health or "", "unknown") if known else "unknown")
            for npu in facts.npus
        ]
    missing = standing.npu_count - len(cells)
    return cells + [Cell(name, None, "unknown")] * missing


def cell_words() -> str:
    """What a cell with a reading says, for a page that fills in readings as they come."""
    return _words("{machine}", "{npu}", "{load}", "{temp}", "{health}")


def _words(machine: str, npu: object, load: object, temp: object, health: str) -> str:
    return _("%(machine)s NPU %(npu)s: load %(load)s %%, %(temp)s °C, health %(health)s") % {
        "machine": machine,
        "npu": npu,
        "load": load,
        "temp": temp,
        "health": health,
    }


def _read(name: str, chip: dict[str, Any]) -> Cell:
    load, temp = (None if chip.get(key) is None else round(chip[key]) for key in ("aicore_percent", "temp_c"))
    said = str(chip.get("health") or "")
    return Cell(name, chip.get("npu_id") or 0, HEALTH.get(said, "unknown"), load, temp, said)
