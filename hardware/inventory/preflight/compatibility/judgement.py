"""Whether two parts go together: first what each says of the other itself, then the table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hardware.inventory.preflight.compatibility.rows import NAMES
from hardware.inventory.preflight.compatibility.table import Table, in_force
from hardware.inventory.preflight.records import Part, gettext_noop
from hardware.inventory.preflight.versions import key, within

# V100R001C20SPC001B251: the generation is version, release and candidate number; what follows is the build.
_GENERATION = re.compile(r"V(\d+)R(\d+)C(\d+)", re.I)

Range = tuple[str, str]


@dataclass(frozen=True)
class Verdict:
    """``fits`` is ``None`` where nobody says. ``doubt``: it fits by the word of one, against that of the other.

    ``sentences`` with ``values`` say why, naming the range that failed or the source.
    """

    fits: bool | None
    sentences: tuple[str, ...]
    values: dict[str, Any] = field(default_factory=dict)
    doubt: bool = False


_TAKES = gettext_noop("%(first)s %(first_version)s takes %(second)s %(second_version)s by its own list (%(ranges)s).")
_REFUSES = gettext_noop(
    "%(second)s %(second_version)s is outside what %(first)s %(first_version)s takes by its own list (%(ranges)s)."
)
_BUT = gettext_noop("But the list of the other (%(other_ranges)s) does not name it.")
_NOR = gettext_noop("Nor does the list of the other (%(other_ranges)s) name it.")
_KNOWN = gettext_noop("%(first)s %(first_version)s and %(second)s %(second_version)s go together (%(source)s).")
_APART = gettext_noop("%(first)s %(first_version)s does not go with %(second)s %(second_version)s (%(source)s).")
_WANTED = gettext_noop("Known to go with it: %(wanted)s.")
_UNKNOWN = gettext_noop(
    "Unknown: nobody says whether %(first)s %(first_version)s and %(second)s %(second_version)s go together."
)


def judge(first: Part, second: Part, table: Table | None = None) -> Verdict:
    """Whether the two go together."""
    own = _own(first, second)
    if own is not None:
        return own
    asked = table or in_force()
    fits, row = asked.fits(first.what, first.version, second.what, second.version)
    values = _named(first, second) | {"source": row.source if row else ""}
    wanted = asked.partners(first.what, first.version, second.what)
    values["wanted"] = ", ".join(wanted)
    if fits is None:
        return Verdict(None, (_UNKNOWN, _WANTED) if wanted else (_UNKNOWN,), values)
    if fits:
        return Verdict(True, (_KNOWN,), values)
    return Verdict(False, (_APART, _WANTED) if wanted else (_APART,), values)


def _own(first: Part, second: Part) -> Verdict | None:
    """By their own lists; ``None`` where neither has one of the other.

    The one that came later has tried the other: where they disagree, its word counts, and the doubt is told. A list of
    generations only names what was there before it, so that none of two lists says that a newer one is wrong: there,
    both must have one.
    """
    mine, theirs = _says(first, second), _says(second, first)
    if mine is None and theirs is None:
        return None
    if "cann" in (first.what, second.what) and not (mine or theirs):
        if _same_generation(first, second):
            return Verdict(True, (_TAKES,), _named(first, second) | {"ranges": first.inner_version or ""})
        if mine is None or theirs is None:
            return None
    if mine is not None and theirs is not None and mine != theirs:
        if "cann" in (first.what, second.what):
            judges, other = (first, second) if mine else (second, first)
            return Verdict(True, (_TAKES,), _spoken(judges, other))
        judges, other = (second, first) if _later(second, first) else (first, second)
        fits = bool(theirs if judges is second else mine)
        values = _spoken(judges, other) | {"other_ranges": _written(other.ranges_of(judges.what))}
        return Verdict(fits, (_TAKES, _BUT) if fits else (_REFUSES,), values, doubt=fits)
    if mine is not None and theirs is not None and not mine:
        values = _spoken(first, second) | {"other_ranges": _written(second.ranges_of(first.what))}
        return Verdict(False, (_REFUSES, _NOR), values)
    judges, other = (first, second) if mine is not None else (second, first)
    fits = bool(mine if mine is not None else theirs)
    return Verdict(fits, (_TAKES if fits else _REFUSES,), _spoken(judges, other))


def _says(judge: Part, other: Part) -> bool | None:
    ranges = judge.ranges_of(other.what)
    if not ranges:
        return None
    if _GENERATION.match(ranges[0][0]):
        mine = _generation(other.inner_version)
        if mine is None:
            return None
        ends = [(_generation(low), _generation(high)) for low, high in ranges]
        return any(low <= mine <= high for low, high in ends if low and high)
    return any(within(other.version, low, high) for low, high in ranges)


def _generation(text: str | None) -> tuple[int, ...] | None:
    found = _GENERATION.match(text or "")
    return tuple(int(number) for number in found.groups()) if found else None


def _same_generation(first: Part, second: Part) -> bool:
    mine = _generation(first.inner_version)
    return mine is not None and mine == _generation(second.inner_version)


def _later(one: Part, other: Part) -> bool:
    """Whether one came out after the other, by the number of the set that each belongs to."""
    return bool(one.release and other.release) and key(one.release or "") > key(other.release or "")


def _written(ranges: Sequence[Range]) -> str:
    return ", ".join(low if low == high else f"{low} – {high}" for low, high in ranges)


def _spoken(judge: Part, other: Part) -> dict[str, Any]:
    return _named(judge, other) | {"ranges": _written(judge.ranges_of(other.what))}


def _named(first: Part, second: Part) -> dict[str, Any]:
    return {
        "first": NAMES.get(first.what, first.what), "first_version": first.version,
        "second": NAMES.get(second.what, second.what), "second_version": second.version,
    }  # fmt: skip
