"""The sensitivity chart: a bar a layer, the noisiest first, and the same as a table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

# Bars and rows that a page carries; of more layers those with most noise, and all that a budget kept.
MOST = 400
# A chart of three layers has no bars a hand wide.
FEWEST = 24
WIDTH, HEIGHT = 10, 100
# What stands for no noise at all in a report.
NO_NOISE = 999
# How 4 bits are rounded, as the field writes it.
METHODS = {"hqq": "HQQ", "gptq": "GPTQ", "rtn": "RTN"}


@dataclass(frozen=True)
class Row:
    """``snr`` in dB, ``None`` of a weight that stayed as it was; ``kept``: at which precision a budget keeps it."""

    name: str
    operator: str
    bits: str
    before: int
    after: int
    snr: float | None
    sensitivity: float | None
    kept: str

    @property
    def decibels(self) -> str:
        """As a person reads it."""
        if self.snr is None:
            return _("as it was")
        return _("no noise") if self.snr >= NO_NOISE else f"{self.snr:.1f} dB"


@dataclass(frozen=True)
class Bar:
    """In units of the picture; ``words`` is what it shows under a pointer."""

    x: int
    y: str
    height: str
    row: Row
    words: str


@dataclass(frozen=True)
class Chart:
    """``ticks`` from the top down, in dB. ``all`` layers there are, of which ``rows`` are shown."""

    bars: list[Bar]
    rows: list[Row]
    ticks: list[int]
    width: int
    all: int
    kept: int
    searched: bool
    lowest: Row | None

    @property
    def lines(self) -> list[str]:
        """Where the ticks between top and bottom are in the picture."""
        return [f"{HEIGHT * place / (len(self.ticks) - 1):.2f}" for place in range(1, len(self.ticks) - 1)]

    @property
    def hidden(self) -> int:
        """Layers that are neither drawn nor listed."""
        return self.all - len(self.rows)


def of(report: Mapping[str, Any], *, whole: bool) -> Chart | None:
    """The chart of a report that has layers."""
    budget = report.get("budget") or {}
    kept = {one["name"]: one for one in budget.get("kept") or ()}
    layers = report.get("layers") or []
    rows = [_row(layer, kept.get(layer["name"])) for layer in layers]
    made = {layer["name"] for layer in layers}
    # They are no quantized weights and stand in no other list.
    rows += [_stayed(one) for name, one in kept.items() if name not in made]
    if not rows:
        return None
    rows.sort(key=lambda row: math.inf if row.snr is None else row.snr)
    first = {row.name for row in rows[:MOST]} | set(kept)
    shown = [row for row in rows if row.name in first][: 2 * MOST]
    step, top = _scale(rows)
    in_float = sum(1 for one in kept.values() if one["name"] not in made)
    return Chart(
        bars=[_bar(place, row, top) for place, row in enumerate(shown)],
        rows=shown,
        ticks=list(range(top, -1, -step)),
        width=WIDTH * max(FEWEST, len(shown)),
        all=len(rows) if whole else max(len(rows), int(report.get("tensors_quantized", 0)) + in_float),
        kept=int(budget.get("layers_kept", 0)),
        searched=any(row.sensitivity is not None for row in rows),
        lowest=next((row for row in rows if row.snr is not None and row.snr < NO_NOISE), None),
    )


def _row(layer: Mapping[str, Any], kept: Mapping[str, Any] | None) -> Row:
    bits = _("%(n)s bit") % {"n": layer.get("bits", 8)}
    if layer.get("block"):
        bits = _("%(bits)s, blocks of %(block)s") % {"bits": bits, "block": layer["block"]}
    if layer.get("method"):
        bits = f"{bits}, {METHODS.get(layer['method'], layer['method'])}"
    return Row(
        name=str(layer["name"]),
        operator=str(layer["kind"]),
        bits=bits,
        before=int(layer["bytes_before"]),
        after=int(layer["bytes_after"]),
        snr=float(layer["snr_db"]),
        sensitivity=layer.get("sensitivity"),
        kept=_("kept at 8 bit") if kept else "",
    )


def _stayed(kept: Mapping[str, Any]) -> Row:
    size = int(kept["bytes"])
    return Row(str(kept["name"]), "", _("float"), size, size, None, kept.get("sensitivity"), _("kept in float"))


def _scale(rows: list[Row]) -> tuple[int, int]:
    """Step and top of the axis, both in dB."""
    most = max((row.snr for row in rows if row.snr is not None and row.snr < NO_NOISE), default=40.0)
    step = 10 if most <= 60 else 20
    return step, max(step, math.ceil(most / step) * step)


def _bar(place: int, row: Row, top: int) -> Bar:
    height = HEIGHT if row.snr is None else max(0.5, min(HEIGHT, HEIGHT * row.snr / top))
    said = [row.name, row.decibels, row.bits, row.kept]
    return Bar(
        WIDTH * place + 1, f"{HEIGHT - height:.2f}", f"{height:.2f}", row, ", ".join(part for part in said if part)
    )
