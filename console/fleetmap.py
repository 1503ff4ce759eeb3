"""The heat map: one cell an NPU, from the newest readings, and from the facts where there are none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from hardware.inventory.standing import Standing

STALE_INTERVALS = 3
HEALTH = {"OK": "ok", "Warning": "warning", "Alarm": "failed", "Critical": "failed"}
# Above this many machines a row each would be scrolled, not read: blocks of small cells then.
DENSE_ABOVE = 40


@dataclass(frozen=True)
class Cell:
    """One NPU. ``load`` in %, ``temp`` in °C; ``l`` and ``t`` are their steps on the ramps, 0 to 7."""

    words: str
    health: str
    load: int | None = None
    temp: int | None = None

    @property
    def l(self) -> int | None:  # noqa: E743
        return None if self.load is None else min(7, max(0, self.load) * 8 // 100)

    @property
    def t(self) -> int | None:
        return None if self.temp is None else min(7, max(0, (self.temp - 30) * 8 // 60))

    @property
    def bad(self) -> bool:
        return self.health in ("warning", "failed")


@dataclass
class MachineRow:
    standing: Standing
    about: str
    cells: list[Cell]

    @property
    def name(self) -> str:
        return self.standing.machine.name

    @property
    def state(self) -> str:
        """That of the machine; an NPU that reads ill now wants attention before the next probe says so."""
        state = self.standing.state
        return "attention" if state == "ready" and any(cell.bad for cell in self.cells) else state


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
        cells = [
            Cell(
                _("%(machine)s NPU %(npu)s: no reading") % {"machine": name, "npu": npu.npu_id},
                HEALTH.get(npu.health or "", "unknown") if standing.state in ("ready", "attention") else "unknown",
            )
            for npu in facts.npus
        ]
    missing = standing.npu_count - len(cells)
    return (
        cells
        + [Cell(_("%(machine)s: an NPU on the bus that no driver lists") % {"machine": name}, "unknown")] * missing
    )


def fresh(sample: dict[str, Any]) -> bool:
    """Whether a reading is young enough to be shown as now."""
    at = datetime.fromisoformat(str(sample["at"]))
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return (timezone.now() - at).total_seconds() <= STALE_INTERVALS * float(sample.get("interval_s") or 2) + 1


def _read(name: str, chip: dict[str, Any]) -> Cell:
    health = HEALTH.get(str(chip.get("health") or ""), "unknown")
    load, temp = (None if chip.get(key) is None else round(chip[key]) for key in ("aicore_percent", "temp_c"))
    words = _("%(machine)s NPU %(npu)s: load %(load)s %%, %(temp)s °C, health %(health)s") % {
        "machine": name,
        "npu": chip.get("npu_id"),
        "load": "–" if load is None else load,
        "temp": "–" if temp is None else temp,
        "health": chip.get("health") or "–",
    }
    return Cell(words, health, load, temp)
