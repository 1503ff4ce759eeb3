"""JSON bodies. What we would not read as it was meant is refused: of a name that comes twice one value would be left
out, and text or numbers that can't be stored would end as a fault of ours.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from math import isfinite
from typing import IO, Any

from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser, get_encoding  # type: ignore[attr-defined]
from rest_framework.utils.json import strict_constant

# Of a whole number in a database.
LARGEST = 2**63 - 1


class WholeJson(JSONParser):
    """Every name once, every number finite, every text one that UTF-8 can write."""

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        try:
            text = stream.read().decode(get_encoding(parser_context or {}))
            said = json.loads(
                text, object_pairs_hook=_once, parse_constant=strict_constant, parse_float=_finite, parse_int=_stored
            )
            if "\\u" in text:
                json.dumps(said, ensure_ascii=False).encode()
        except UnicodeError as wrong:
            raise ParseError(_("The body has text that is no Unicode.")) from wrong
        except ValueError as wrong:
            raise ParseError(f"JSON parse error - {wrong}") from wrong
        except RecursionError as wrong:
            raise ParseError(_("The body is nested too deeply.")) from wrong
        return said


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen = Counter(name for name, _value in pairs)
        twice = seen.most_common(1)[0][0]
        raise ParseError(_("%(name)s comes twice in one object of the body.") % {"name": ascii(twice)})
    return found


def _stored(text: str) -> int:
    number = int(text)
    if not -LARGEST <= number <= LARGEST:
        raise ValueError(f"{text[:20]} is too large a number")
    return number


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"{text[:20]} is too large a number")
    return number
