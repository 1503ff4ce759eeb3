"""A log's bytes as a person reads them: text without colours and without characters that nobody sees."""

from __future__ import annotations

import re

# As static/js/ansi.js takes them out.
_CODES = re.compile(rb"\x1b(?:\[[0-9;:]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_UNSEEN = bytes(b for b in (*range(9), *range(11, 32), 127) if b != 0x0D)


def readable(raw: bytes) -> str:
    """Lines, tabs and carriage returns stay. What is no UTF-8 is U+FFFD; there is no NUL, which no database takes."""
    if b"\x1b" in raw:
        raw = _CODES.sub(b"", raw)
    return raw.translate(None, _UNSEEN).decode(errors="replace")
