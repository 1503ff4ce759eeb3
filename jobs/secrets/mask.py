"""Secrets out of texts: each of their bytes becomes ``*``, so that every offset after it holds. No Django here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hardware.ssh.cursor import OnChunk
from jobs.secrets.forms import SHORTEST, forms

STAR = b"*"
# So much of a log that is nothing but secrets is held back, so that no chunk begins within one.
HELD_BYTES = 1 << 16


class Mask:
    """Knows the secrets of a job in the forms that programs print them in; false when there are none."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        """``values`` as they were given; parts shorter than ``SHORTEST`` are not looked for."""
        self._needles = sorted({form for value in values for form in forms(value)})

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
            # The first place from which all that is there is the needle's beginning.
            at = data.find(needle[:1], max(0, len(data) - len(needle) + 1))
            while 0 <= at < len(data) - longest:
                if needle.startswith(data[at:]):
                    longest = len(data) - at
                    break
                at = data.find(needle[:1], at + 1)
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
        if 0 < ready < len(whole) and covered[ready - 1] and covered[ready]:
            # It ends with the beginning of itself: handed on in two, a reader who comes to the second knows no first.
            begin = covered.rfind(0, 0, ready) + 1
            ready = begin if len(whole) - begin <= HELD_BYTES else ready
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
