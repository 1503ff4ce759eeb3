"""From a text to one report: its outputs read one by one, then put together."""

from __future__ import annotations

from typing import Any

from hardware.npu import paste, text
from hardware.npu.report import Chip, HalfChip, Report


def read(raw: str, command: str | None = None) -> Report:
    """What a text says. A text that makes this raise has found a bug."""
    outputs = [(*paste.read(part), part) for part in paste.split(text.plain(raw), command)]
    reports = [report for report, _, part in outputs if part.lines]
    report = _merge(reports) if len(reports) != 1 else reports[0]
    _put_chips(outputs, report)
    if report.layout == "unknown":
        flag = "this layout is not known; the text is kept as it is" if raw.strip() else "there is no text"
        return unread(raw, flag, report.command)
    return report


def unread(raw: str, flag: str, command: str | None = None) -> Report:
    """A report of nothing but the text, the command that a prompt shows, and why nothing is said of it."""
    kept = raw.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return Report(command, fields={"raw": kept}, warnings=[flag])


def _merge(reports: list[Report]) -> Report:
    """Several outputs as one. The first that was understood gives the layout."""
    known = [one for one in reports if one.layout not in ("unknown", "error")] or reports
    whole = Report(layout=known[0].layout if known else "unknown")
    commands: list[str] = []
    outputs: list[dict[str, Any]] = []
    for one in reports:
        if one.command and one.command not in commands:
            commands.append(one.command)
        if one.layout == "unknown":
            continue
        whole.tool_version = whole.tool_version or one.tool_version
        whole.driver_version = whole.driver_version or one.driver_version
        whole.processes += [process for process in one.processes if process not in whole.processes]
        whole.samples += one.samples
        whole.warnings += one.warnings
        whole.error = whole.error or one.error
        if one.error and one.error is not whole.error:
            whole.warnings.append(one.error.text)
        if one.fields:
            outputs.append({"command": one.command, "layout": one.layout, "fields": one.fields})
    whole.command = "; ".join(commands) or None
    if len(outputs) == 1:
        whole.fields = outputs[0]["fields"]
    elif outputs:
        whole.fields = {"outputs": outputs}
    return whole


# A card's id and that of a chip on it; or ``phy`` and a physical id.
Place = tuple[int | str | None, int | None]


_TABLES = frozenset(("ddr", "hbm", "a3", "950"))
_IDENTITY = ("npu_id", "chip_id", "phy_id", "logic_id", "name", "bus_id")


class _Chips:
    """The chips of all outputs, each once. Where one was read several times the last reading counts.

    ``tables``: where a row of a table was read; what the next such row leaves out is no longer so.
    """

    def __init__(self) -> None:
        self.found: dict[Place, Chip] = {}
        self.cards: dict[int | None, list[int | None]] = {}
        self.phys: dict[int, Place] = {}
        self.buses: dict[tuple[int | None, str], Place | None] = {}
        self.tables: set[Place] = set()
        self.readings: list[Chip] = []
        self.again = False

    def add(self, chip: Chip, table: bool) -> None:
        if isinstance(chip, HalfChip) and chip.chip_id is None:
            # Never one with another: nobody knows which of the card's chips it is.
            self.found[chip.npu_id, -1 - len(self.found)] = chip
            self.readings.append(chip)
            return
        if chip.npu_id in self.cards and chip == Chip(npu_id=chip.npu_id):
            return
        place = self._place(chip)
        known = place in self.found
        if chip.phy_id is not None and place[0] != "phy":
            self.phys[chip.phy_id] = place
            before = self.found.pop(("phy", chip.phy_id), None)
            if before is not None:
                self.found.setdefault(place, before).take(before)
        before = self.found.get(place)
        if not known:
            self.cards.setdefault(chip.npu_id, []).append(chip.chip_id)
        if before is None:
            self.found[place] = chip
        elif _says_again(before, chip):
            self.again = True
            chip.take(before, _IDENTITY if table and place in self.tables else None)
            self.found[place] = chip
        else:
            before.take(chip)
            return
        if table:
            self.tables.add(place)
        self.readings.append(chip)

    def _place(self, chip: Chip) -> Place:
        """By card and chip. What is said of a card is its chip's where it has only one."""
        chips = self.cards.get(chip.npu_id, []) if chip.npu_id is not None else []
        if len(chips) == 1 and chips[0] != chip.chip_id:
            if chip.chip_id is None:
                return chip.npu_id, chips[0]
            if chips[0] is None:
                # The card was named before its chips were.
                self.found = {(npu, chip.chip_id if npu == chip.npu_id else one): value
                              for (npu, one), value in self.found.items()}  # fmt: skip
                chips[0] = chip.chip_id
        if chip.npu_id is None and chip.phy_id is not None:
            return self.phys.get(chip.phy_id, ("phy", chip.phy_id))
        place: Place = chip.npu_id, chip.chip_id
        if chip.bus_id is None:
            return place
        # Of a card with several chips the board's bus id is that of one of them, or of all.
        bus = chip.npu_id, chip.bus_id.lower()
        if chip.chip_id is None:
            return self.buses.get(bus) or place
        if self.buses.setdefault(bus, place) != place:
            self.buses[bus] = None
        return place


def _put_chips(outputs: list[tuple[Report, list[Chip], paste.Part]], report: Report) -> None:
    """A chip without its own ids has those that the command asked for."""
    all_chips = _Chips()
    for one, chips, _ in outputs:
        ids = paste.asked(one.command) if one.command and chips else {}
        for chip in chips:
            if ids:
                if chip.phy_id is None:
                    chip.phy_id = ids.get("p")
                if chip.npu_id is None and "p" not in ids:
                    chip.npu_id = ids.get("i")
                if chip.chip_id is None and chip.npu_id is not None and chip.npu_id == ids.get("i"):
                    chip.chip_id = ids.get("c")
            all_chips.add(chip, one.layout in _TABLES)
    report.chips = list(all_chips.found.values())
    if all_chips.again:
        report.samples += [Chip(**vars(chip)) for chip in all_chips.readings]
        report.warnings.append("some chips are listed more than once; the last reading counts, samples has all")


def _says_again(before: Chip, chip: Chip) -> bool:
    """Whether a measure that is known is given anew."""
    names = ("health", "power_w", "temp_c", "aicore_percent", "memory_used_mb", "hbm_used_mb")
    mine, other = vars(before), vars(chip)
    return any(mine[name] is not None and other[name] is not None for name in names)
