"""The forms in which programs print a secret. No Django here."""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

# Shorter than this, a secret is a word like any other: masking it would blot out half of a log.
SHORTEST = 4
# Columns after which base64(1), and openssl as PEM wants it, begin a new line.
_COLUMNS = (76, 64)
# What bash puts a backslash before, where it stands between no quotes, and where between double ones.
_BARE = re.compile(r"""(^[#~]|[ \t!"$&'()*,;<>?\[\\\]^`{|}])""")
_IN_DOUBLE = re.compile(r'([$`"\\])')
# How many characters at the beginning depend on bytes that stand before the secret, by how many these are.
_MIXED = (0, 2, 3)


def forms(value: str) -> Iterator[bytes]:
    """A value as it is and as programs print it; its lines, too, for a message that quotes one of them."""
    for text in {value, value.strip()}:
        plain = text.encode(errors="surrogatepass")
        for form in (*_quoted(text), *_of_bytes(plain)):
            if len(plain) >= SHORTEST and len(form) >= SHORTEST:
                yield form
    for line in {line.strip() for line in value.splitlines()} - {value.strip()}:
        # A key has dozens of them: each form is looked for in every chunk.
        plain = line.encode(errors="surrogatepass")
        if len(plain) >= SHORTEST:
            yield from {*_quoted(line), quote(plain, safe="").encode(), base64.b64encode(plain).rstrip(b"=")}


def _quoted(text: str) -> Iterator[bytes]:
    """As it is, and quoted for a shell, JSON, Python or HTML."""
    escaped = json.dumps(text, ensure_ascii=False)[1:-1]
    said = [
        text,
        shlex.quote(text)[1:-1] if "'" in text else text,
        # bash, of what set -x shows and of what printf %q and declare -p print.
        text.replace("'", "'\\''"),
        _BARE.sub(r"\\\1", text),
        _IN_DOUBLE.sub(r"\\\1", text),
        text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\t", "\\t"),
        escaped,
        escaped.replace("/", "\\/"),
        json.dumps(text)[1:-1],
        json.dumps(text)[1:-1].replace("/", "\\/"),
        repr(text)[1:-1],
        html.escape(text),
        html.escape(text).replace("&#x27;", "&#39;"),
        html.escape(text, quote=False),
    ]
    for one in said:
        yield one.encode(errors="surrogatepass")


def _of_bytes(plain: bytes) -> Iterator[bytes]:
    """In a URL, in hex, in base64, and as Python shows bytes."""
    for address in (quote(plain, safe=""), quote(plain), quote(plain, safe="!'()*"), quote_plus(plain)):
        yield address.encode()
        yield re.sub("%..", lambda found: found.group().lower(), address).encode()
    yield plain.hex().encode()
    yield plain.hex().upper().encode()
    yield repr(plain)[2:-1].encode()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(plain).rstrip(b"=")
        # In the midst of other bytes, as in the header for user and password: what depends on the secret alone.
        for before, mixed in enumerate(_MIXED):
            made = encode(b"\0" * before + plain).rstrip(b"=")
            yield made[mixed:]
            yield made[mixed : (before + len(plain)) // 3 * 4 + (0, 1, 2)[(before + len(plain)) % 3]]
    whole = base64.b64encode(plain).rstrip(b"=")
    for columns in _COLUMNS:
        lines = [whole[at : at + columns] for at in range(0, len(whole), columns)]
        if len(lines) > 1:
            yield b"\n".join(lines)
            yield from lines
