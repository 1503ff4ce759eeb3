"""Stored sentences in the reader's language, with the values that are in them.

Troubles and failures are records: they are kept in English, as they were told. Whoever shows one has the templates that
such sentences are made of (``%(machine)s: its shell ended without a status.``), finds the one that this sentence comes
from, and says the translated template with the same values. A sentence of no template is shown as it was kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import chain

from django.utils.translation import gettext

_VALUE = re.compile(r"%\((\w+)\)s|%%")
# What a value can be, by its name. What a tool or another sentence said is anything; no other value ends a sentence.
# A parameter, a key or the name of a part is one word: "Give %(parameter)s." would else fit what is not its own.
_ANYTHING, _WITHIN, _WORD = r".+?", r"(?:(?!\. ).)+?", r"\S+"
_KINDS = dict.fromkeys(("said", "why", "held", "reason"), _ANYTHING) | dict.fromkeys(
    ("parameter", "key", "first", "first_version"), _WORD
)


class Sentences:
    """``within``: of a value's name, what says it in the reader's language, where it is a sentence or a title itself.

    Where several templates fit, the one counts that has most of the sentence in it.
    """

    def __init__(self, *templates: Iterable[str], within: Mapping[str, Callable[[str], str]] | None = None) -> None:
        self._whole: set[str] = set()
        self._known: list[tuple[str, re.Pattern[str], str]] = []
        for template in sorted(chain(*templates), key=lambda one: -sum(map(len, _parts(one)))):
            if _VALUE.search(template):
                longest = max(_parts(template), key=len)
                self._known.append((longest, re.compile(_pattern(template), re.DOTALL), template))
            else:
                self._whole.add(template)
        self._within = within or {}

    def say(self, text: str) -> str:
        if text in self._whole:
            return gettext(text)
        for longest, pattern, template in self._known:
            # To see that a template's words are not in a text costs a fraction of trying the pattern.
            if longest in text and (found := pattern.fullmatch(text)) is not None:
                values = {
                    name: self._within[name](value) if name in self._within else value
                    for name, value in found.groupdict().items()
                }
                return gettext(template) % values
        return text


def _parts(template: str) -> list[str]:
    """What stands between the values."""
    return [part.replace("%%", "%") for part in re.split(r"%\(\w+\)s", template) if part]


def _pattern(template: str) -> str:
    made, end = "", 0
    for value in _VALUE.finditer(template):
        made += re.escape(template[end : value.start()])
        made += f"(?P<{value[1]}>{_KINDS.get(value[1], _WITHIN)})" if value[1] else "%"
        end = value.end()
    return made + re.escape(template[end:])
