"""The table as it is read: every row with the table that it stands in, and what it says of one pair of versions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hardware.inventory.compatibility.models import Entry
from hardware.inventory.compatibility.services import ENTRIES, refresh
from hardware.inventory.preflight import Part
from hardware.inventory.preflight.compatibility import Row, Table, Verdict, judge

# An entry of the site, a row of its file (CONSOLE_COMPATIBILITY), a row that came with the console.
Origin = Literal["entry", "file", "console"]


@dataclass(frozen=True)
class Line:
    """``entry`` is there for rows of the site's own, with who wrote it; ``file`` is the name of the file of others."""

    row: Row
    origin: Origin
    file: str = ""
    entry: Entry | None = None


@dataclass(frozen=True)
class Answer:
    """``verdict.fits`` is ``None`` where no row names the pair: it is unknown then. ``line``: the row that says so."""

    verdict: Verdict
    line: Line | None

    @property
    def severity(self) -> str:
        return {True: "pass", False: "block", None: "unknown"}[self.verdict.fits]


def lines() -> list[Line]:
    """Every row in force, in the order in which the tables are asked."""
    entries = {entry.pk: entry for entry in Entry.objects.filter(retired_at=None)}
    return list(_lines(refresh(), entries))


def ask(first: Part, second: Part) -> Answer:
    """What the table says of two parts; a package's own lists, which come first in preflight, are not in it."""
    table = refresh()
    _fits, row = table.fits(first.what, first.version, second.what, second.version)
    entries = {row.number: found} if row and (found := Entry.objects.filter(pk=row.number).first()) else {}
    line = next((line for line in _lines(table, entries) if line.row is row), None) if row else None
    return Answer(judge(first, second, table), line)


def _lines(table: Table, entries: dict[int, Entry]) -> Iterator[Line]:
    for one in table.in_order():
        for row in one.rows:
            if one.name == ENTRIES:
                yield Line(row, "entry", entry=entries.get(row.number))
            else:
                yield Line(row, "console" if one.name == "known.toml" else "file", Path(one.name).name)
