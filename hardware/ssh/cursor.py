"""Cutting a stream of output into chunks that carry their byte offset."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

CHUNK = 65536
# How long a line without its end is held back, in seconds: long enough to join what belongs together, too short to see.
HOLD = 0.05

OnChunk = Callable[[int, bytes], Awaitable[None]]


class Cursor:
    """Cuts the stream into chunks: at line ends while it flows, and not inside a UTF-8 character."""

    def __init__(self, offset: int, on_chunk: OnChunk) -> None:
        self.offset = offset
        self.held = b""
        self._on_chunk = on_chunk

    async def take(self, data: bytes) -> None:
        self.held += data
        await self._emit(self.held.rfind(b"\n") + 1 if len(self.held) < CHUNK else whole_characters(self.held))

    async def flush(self, everything: bool = False) -> None:
        await self._emit(len(self.held) if everything else whole_characters(self.held))

    def drop(self) -> None:
        """Forget what was held back: it will be read again from the offset."""
        self.held = b""

    async def _emit(self, size: int) -> None:
        while size > 0:
            part = self.held[: min(size, CHUNK)]
            await self._on_chunk(self.offset, part)
            self.offset += len(part)
            self.held = self.held[len(part) :]
            size -= len(part)


def whole_characters(data: bytes) -> int:
    """Length of ``data`` without a character that is cut at its end."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 == 0x80:
            continue
        need = 2 if byte >> 5 == 0b110 else 3 if byte >> 4 == 0b1110 else 4 if byte >> 3 == 0b11110 else 1
        return len(data) - back if need > back else len(data)
    return len(data)
