"""The table: TOML, one ``[[row]]`` after another, each with its source; one table is asked before another."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from hardware.inventory.preflight.compatibility.rows import Row, RowError, read_row


class TableError(ValueError):
    """A table that can't be read: one line that names the file, the row and the field."""


@dataclass(frozen=True, eq=False)
class Table:
    """``before``: a table that is asked first; what it decides is not asked again.

    A fleet has few pairs of versions and many machines: what was found out once is kept.
    """

    rows: tuple[Row, ...] = ()
    before: Table | None = None
    name: str = ""
    replaces: bool = field(default=False)

    @lru_cache(4096)  # noqa: B019  of a table that another one replaced these are pushed out in time
    def fits(self, first: str, first_version: str, second: str, second_version: str) -> tuple[bool | None, Row | None]:
        """Whether they go together, and the row that says so; ``None`` where no row does."""
        if self.before is not None:
            found = self.before.fits(first, first_version, second, second_version)
            if found[0] is not None:
                return found
        both = [row for row in self.rows if first in row.parts and second in row.parts]
        hits = [row for row in both if row.has(first, first_version) and row.has(second, second_version)]
        # A row that says no is more particular than one that says yes.
        for row in sorted(hits, key=lambda row: row.fits):
            return row.fits, row
        for row in both:
            for mine, version, other in ((first, first_version, second), (second, second_version, first)):
                if row.only == (mine, other) and row.has(mine, version):
                    return False, row
        return None, None

    @lru_cache(4096)  # noqa: B019
    def partners(self, part: str, version: str, other: str) -> tuple[str, ...]:
        """The versions of ``other`` that are known to go with this one, as the rows write them."""
        found = list(self.before.partners(part, version, other)) if self.before is not None else []
        for row in self.rows:
            if row.fits and other in row.parts and row.has(part, version):
                found += [written for written in row.parts[other] if written not in found]
        return tuple(found)

    def __iter__(self) -> Iterator[Row]:
        for table in self.in_order():
            yield from table.rows

    def in_order(self) -> Iterator[Table]:
        """The tables that it is made of, the one that is asked first first."""
        if self.before is not None:
            yield from self.before.in_order()
        yield self

    def behind(self, rows: Sequence[Row], name: str) -> Table:
        """The same, with a table of these rows asked before all of it; itself where there are none."""
        if self.before is not None:
            return replace(self, before=self.before.behind(rows, name)) if rows else self
        return replace(self, before=Table(tuple(rows), None, name)) if rows else self


def read_table(text: str, name: str) -> Table:
    """A table from TOML. Raises ``TableError``."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as wrong:
        raise TableError(f"{name} is no TOML: {wrong}.") from None
    unknown = sorted(set(data) - {"row", "replace"})
    if unknown:
        raise TableError(f"{name}: {unknown[0]!r} is neither [[row]] nor replace.")
    rows, replaces = data.get("row", []), data.get("replace", False)
    if not isinstance(rows, list):
        raise TableError(f"{name}: a row begins with [[row]], with two brackets.")
    if not isinstance(replaces, bool):
        raise TableError(f"{name}: replace is true or false, not {replaces!r}.")
    return Table(tuple(_row(name, number, row) for number, row in enumerate(rows, 1)), None, name, replaces)


def load(path: Path | None) -> Table:
    """The console's own table, with the operator's file, if there is one, before it. Raises ``TableError``."""
    if path is None:
        return known()
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as wrong:
        said = wrong.strerror if isinstance(wrong, OSError) else "it is no UTF-8"
        raise TableError(f"{path} can't be read: {said}.") from None
    own = read_table(text, str(path))
    return own if own.replaces else Table(known().rows, own, known().name)


@cache
def known() -> Table:
    path = Path(__file__).with_name("known.toml")
    return read_table(path.read_text("utf-8"), path.name)


# What the files say, read at the start; and that with the site's own entries before it, which may change any time.
_FROM_FILES: list[Table] = []
_IN_FORCE: list[Table] = []


def use(table: Table) -> None:
    """Let this table, which files gave, be the one that the rules ask, in this process."""
    _FROM_FILES[:] = _IN_FORCE[:] = [table]


def from_files() -> Table:
    return _FROM_FILES[0] if _FROM_FILES else known()


def put_before(rows: Sequence[Row], name: str) -> Table:
    """Have these rows asked before those of the files. The table stays the same object while the rows are the same, so
    that what was judged by it is not judged again.
    """
    there = in_force()
    first = next(there.in_order())
    if (first.rows if first.name == name else ()) != tuple(rows):
        _IN_FORCE[:] = [from_files().behind(rows, name)]
    return in_force()


def in_force() -> Table:
    return _IN_FORCE[0] if _IN_FORCE else from_files()


def _row(name: str, number: int, row: Any) -> Row:
    try:
        return read_row(number, row)
    except RowError as wrong:
        raise TableError(f"{name}, row {number}, {wrong}") from None
