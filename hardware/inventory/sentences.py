"""Stored sentences in the reader's language, with the values that are in them.

Troubles and failures are records: they are kept in English, as they were told. Whoever shows one has the templates that
such sentences are made of (``%(machine)s: its shell ended without a status.``), finds the one that this sentence comes
from, and says the translated template with the same values. A sentence of no template is shown as it was kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from django.utils.translation import gettext

_VALUE = re.compile(r"%\((\w+)\)s|%%")


class Sentences:
    """``within``: of a value's name, what says it in the reader's language, where it is a sentence or a title itself.

    Where several templates fit, the earlier one counts.
    """

    def __init__(self, templates: Iterable[str], within: Mapping[str, Callable[[str], str]] | None = None) -> None:
        self._known = [(re.compile(_pattern(template), re.DOTALL), template) for template in templates]
        self._within = within or {}

    def say(self, text: str) -> str:
        for pattern, template in self._known:
            found = pattern.fullmatch(text)
            if found is not None:
                values = {
                    name: self._within[name](value) if name in self._within else value
                    for name, value in found.groupdict().items()
                }
                return gettext(template) % values
        return text


def _pattern(template: str) -> str:
    made, end = "", 0
    for value in _VALUE.finditer(template):
        made += re.escape(template[end : value.start()])
        made += f"(?P<{value[1]}>.+?)" if value[1] else "%"
        end = value.end()
    return made + re.escape(template[end:])
