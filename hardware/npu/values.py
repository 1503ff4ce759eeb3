"""Single values as the tools print them: ``NA`` and ``-`` say nothing."""

from __future__ import annotations

import re

_WHOLE = re.compile(r"[+-]?[0-9]{1,15}")
_DECIMAL = re.compile(r"[+-]?[0-9]{1,15}\.[0-9]{1,15}")
BUS = re.compile(r"(?:[0-9A-F]{4,8}:)?[0-9A-F]{2}:[0-9A-F]{2}\.[0-9A-F]", re.I)
HEALTHS = frozenset(("OK", "WARNING", "ALARM", "CRITICAL", "UNKNOWN"))
NOTHING = frozenset(("", "NA", "N/A", "na", "n/a", "-", "--"))


class Unreadable(ValueError):
    """A value that is neither what it should be nor one of the words for nothing."""


def whole(text: str) -> int | None:
    """``None`` for a word that says nothing. Raises ``Unreadable``."""
    if _WHOLE.fullmatch(text):
        return int(text)
    if text in NOTHING:
        return None
    raise Unreadable(text)


def number(text: str) -> float | None:
    """A whole number stays one. ``None`` for a word that says nothing. Raises ``Unreadable``."""
    if _WHOLE.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text):
        return float(text)
    if text in NOTHING:
        return None
    raise Unreadable(text)


def word(text: str) -> str | None:
    return None if text in NOTHING else text
