"""Secrets out of texts: each of their bytes becomes ``*``, so that every offset after it holds. No Django here."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from hardware.ssh.cursor import OnChunk

# Shorter than this, a secret is a word like any other: masking it would blot out half of a log.
SHORTEST = 4
STAR = b"*"


class Mask:
    """Knows the secrets of a job in the forms that programs print them in; false when there are none."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        """``values`` as they were given; parts shorter than ``SHORTEST`` are not looked for."""
        self._needles = sorted({form for value in values for form in _forms(value)})

    def __bool__(self) -> bool:
        return bool(self._needles)

    def __repr__(self) -> str:
        return f"<Mask of {len(self._needles)} forms>"

    def cover(self, data: bytes, covered: bytearray) -> None:
        """Mark with 1 in ``covered`` (as long as ``data``) each byte that belongs to a secret."""
        for needle in self._needles:
            at = data.find(needle)
            while at >= 0:
                covered[at : at + len(needle)] = b"\1" * len(needle)
                at = data.find(needle, at + 1)

    def open_end(self, data: bytes) -> int:
        """How many bytes at the end of ``data`` may be the beginning of a secret."""
        longest = 0
        for needle in self._needles:
            for size in range(min(len(needle) - 1, len(data)), longest, -1):
                if data.endswith(needle[:size]):
                    longest = size
                    break
        return longest

    def text(self, text: str) -> str:
        if not self._needles:
            return text
        data = text.encode(errors="surrogatepass")
        covered = bytearray(len(data))
        self.cover(data, covered)
        return starred(data, covered).decode(errors="replace") if 1 in covered else text

    def data(self, value: Any) -> Any:
        """The same for every text in JSON-like data."""
        if not self._needles:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.data(key): self.data(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.data(item) for item in value]
        return value


class MaskedStream:
    """Hands chunks on with the secrets starred, also one that two or more chunks share.

    What may be the beginning of a secret is held back until the bytes after it tell; the offsets of what is handed on
    have neither gap nor repeat, and none of them lies within a secret.
    """

    def __init__(self, mask: Mask, on_chunk: OnChunk) -> None:
        self._mask = mask
        self._on_chunk = on_chunk
        self._offset = 0
        self._held = b""
        self._covered = bytearray()

    async def take(self, offset: int, data: bytes) -> None:
        """``data`` follows what was taken before."""
        if not self._held:
            self._offset = offset
        whole = self._held + data
        covered = self._covered + bytearray(len(data))
        self._mask.cover(whole, covered)
        ready = len(whole) - self._mask.open_end(whole)
        self._held, self._covered = whole[ready:], covered[ready:]
        await self._hand_on(whole[:ready], covered[:ready])

    async def flush(self) -> None:
        """The end: nothing follows that could tell. So much of a secret's beginning as is no accident is starred."""
        data, covered = self._held, self._covered
        if len(data) >= SHORTEST:
            covered = bytearray(b"\1" * len(data))
        self._held, self._covered = b"", bytearray()
        await self._hand_on(data, covered)

    async def _hand_on(self, data: bytes, covered: bytearray) -> None:
        if data:
            offset, self._offset = self._offset, self._offset + len(data)
            await self._on_chunk(offset, starred(data, covered))


def starred(data: bytes, covered: bytearray) -> bytes:
    """``data`` with a star for each byte that is marked in ``covered``."""
    at = covered.find(1)
    if at < 0:
        return data
    made = bytearray(data)
    while at >= 0:
        end = covered.find(0, at)
        end = len(covered) if end < 0 else end
        made[at:end] = STAR * (end - at)
        at = covered.find(1, end)
    return bytes(made)


def _forms(value: str) -> Iterable[bytes]:
    """The value itself and as programs print it: quoted for a shell, a JSON text or a URL, in base64, line by line."""
    for text in {value, value.strip(), *(line.strip() for line in value.splitlines())}:
        plain = text.encode(errors="surrogatepass")
        if len(plain) < SHORTEST:
            continue
        yield plain
        yield shlex.quote(text)[1:-1].encode(errors="surrogatepass") if "'" in text else plain
        yield json.dumps(text)[1:-1].encode()
        yield json.dumps(text, ensure_ascii=False)[1:-1].encode(errors="surrogatepass")
        yield quote(plain, safe="").encode()
        yield base64.b64encode(plain).rstrip(b"=")
