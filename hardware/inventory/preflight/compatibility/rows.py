"""One row of the table: the versions of two parts or more, what is said of them, and where that is known from.

=============  =====================================================================================================
field          what it says
=============  =====================================================================================================
a part's name  its versions: ``"8.0.0"``, a line ``"25.0.*"``, a range ``"24.1.rc1 .. 24.1.0"``, ``"*"``, or a list
``fits``       ``true`` (when left out): every pair of the row's parts goes together; ``false``: none does
``only``       ``[a, b]``: that ``a`` goes with no other ``b`` than the table names
``source``     where this is known from
=============  =====================================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hardware.inventory.preflight.records import gettext_noop
from hardware.inventory.preflight.versions import key, within

# Every part that a row may name, as a person reads it.
NAMES = {
    "driver": gettext_noop("Driver"),
    "firmware": gettext_noop("Firmware"),
    "cann": "CANN",
    "mindspore": "MindSpore",
    "torch-npu": "torch_npu",
    "vllm-ascend": "vLLM-Ascend",
    "mindie": "MindIE",
    "chip": gettext_noop("Chip"),
}
CHIPS = ("310", "310B", "310P", "910", "910B", "A3", "950")
_OTHER = ("fits", "only", "source")


class RowError(ValueError):
    """What is wrong with a row, and with which of its fields. ``sentence`` is a template of the catalogue."""

    def __init__(self, field: str, sentence: str, **values: Any) -> None:
        self.field, self.sentence, self.values = field, sentence, values
        said = sentence % values
        super().__init__(f"{field}: {said[:1].lower()}{said[1:]}")


@dataclass(frozen=True)
class Row:
    """``parts``: the versions of each part, as they are written. ``number`` counts from 1; of a row that is kept in the
    database it is the entry's.
    """

    number: int
    parts: Mapping[str, tuple[str, ...]]
    source: str
    fits: bool = True
    only: tuple[str, str] | None = None

    def has(self, part: str, version: str) -> bool:
        return any(_matches(part, written, version) for written in self.parts.get(part, ()))


def read_row(number: int, row: Any) -> Row:
    """A row from what TOML or JSON gives. Raises ``RowError``."""
    if not isinstance(row, dict):
        raise RowError("row", gettext_noop("%(given)s is no table."), given=repr(row))
    parts: dict[str, tuple[str, ...]] = {}
    for name, value in row.items():
        if name in NAMES:
            parts[name] = _versions(name, value)
        elif name not in _OTHER:
            raise RowError(name, gettext_noop("There is no such field; parts are %(parts)s."), parts=", ".join(NAMES))
    if len(parts) < 2:
        raise RowError(
            "row", gettext_noop("It names %(count)s of the two parts or more that go together."), count=len(parts)
        )
    source, fits, only = row.get("source"), row.get("fits", True), row.get("only")
    if not isinstance(source, str) or not source.strip():
        raise RowError("source", gettext_noop("Say where this is known from."))
    if not isinstance(fits, bool):
        raise RowError("fits", gettext_noop("%(given)s is neither true nor false."), given=repr(fits))
    if only is not None and not (
        isinstance(only, list | tuple) and len(set(map(str, only))) == 2 and all(part in parts for part in only)
    ):
        raise RowError("only", gettext_noop('Name two parts of this row, as in ["mindspore", "cann"].'))
    return Row(number, parts, source.strip(), fits, (only[0], only[1]) if only else None)


def _versions(part: str, value: Any) -> tuple[str, ...]:
    given = value if isinstance(value, list | tuple) else [value]
    if not given:
        raise RowError(part, gettext_noop("The list is empty."))
    for one in given:
        if not isinstance(one, str) or not one.strip():
            raise RowError(part, gettext_noop("%(given)s is no version; write it in quotes."), given=repr(one))
        if part == "chip" and one.strip() not in ("*", *CHIPS):
            raise RowError(
                part,
                gettext_noop("%(given)s is no chip; known are %(chips)s."),
                given=repr(one),
                chips=", ".join(CHIPS),
            )
        ends = one.split("..") if ".." in one else [one]
        if part != "chip" and one != "*" and not (len(ends) < 3 and all(re.search(r"\d", end) for end in ends)):
            raise RowError(
                part,
                gettext_noop("%(given)s is no version; write 8.0.0, 25.0.*, 24.1.rc1 .. 24.1.0 or *."),
                given=repr(one),
            )
    return tuple(one.strip() for one in given)


def _matches(part: str, written: str, version: str) -> bool:
    if written == "*" or part == "chip":
        return written in ("*", version)
    if ".." in written:
        low, high = written.split("..")
        return within(version, low.strip(), high.strip())
    if written.endswith(".*"):
        return within(version, written[:-2], f"{written[:-2]}.")
    return key(written) == key(version)
