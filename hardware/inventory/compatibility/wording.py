"""Rows and verdicts in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.utils.translation import gettext as _

from hardware.inventory.preflight.compatibility import NAMES, Row, Verdict


def part(name: str) -> str:
    return _(NAMES.get(name, name))


def parts(given: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """(part, its versions), in the order of the parts."""
    return [(part(name), versions(given[name])) for name in NAMES if name in given]


def versions(written: Sequence[str]) -> str:
    return ", ".join(_("any") if one == "*" else one.replace("..", "\N{EN DASH}") for one in written)


def says(row: Row) -> str:
    return _("go together") if row.fits else _("do not go together")


def only(row: Row) -> str:
    """What the row leaves no room for; empty where it does."""
    if not row.only:
        return ""
    names = {"first": part(row.only[0]), "second": part(row.only[1])}
    return _("This %(first)s goes with no other %(second)s.") % names


def verdict(found: Verdict) -> str:
    values = {name: _(value) if name in ("first", "second") else value for name, value in found.values.items()}
    return " ".join(_(sentence) % values for sentence in found.sentences)
