"""A piece of a job's log, and many of them in one block: how a run's log is kept once the run has ended.

A block is deflated: how many pieces it has, then for each its place, size and time, then their bytes one after the
other. It holds pieces of one source only, all of them in one window of the job's log: a reader of any position reads
the blocks of one window, however many machines printed at once.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

# Bytes of a job's log that are kept together. A reader inflates this much at most for whatever it asks.
WINDOW = 1 << 20
LEVEL = 6

_COUNT = struct.Struct("<I")
# Distance from the block's position, size, microseconds since the block's time.
_PLACE = struct.Struct("<IIq")


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of one source that were printed together. ``position`` is their place in the job's log.

    ``offset`` is their place in the source; ``machine`` is ``None`` for the console itself.
    """

    source: str
    offset: int
    position: int
    at: datetime
    data: bytes
    step_id: int
    step: str = ""
    machine: str | None = None

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def end(self) -> int:
        return self.position + len(self.data)

    def since(self, position: int) -> Piece:
        """What of it stands at ``position`` or after."""
        skip = position - self.position
        if skip <= 0:
            return self
        return replace(self, offset=self.offset + skip, position=position, data=self.data[skip:])


def window_of(position: int) -> tuple[int, int]:
    """Begin and end of the window that a position is in."""
    begin = position // WINDOW * WINDOW
    return begin, begin + WINDOW


def deflated(pieces: Sequence[Piece]) -> bytes:
    """A block of pieces of one source, in order, without a gap in the source."""
    first = pieces[0]
    packer = zlib.compressobj(LEVEL)
    head = bytearray(_COUNT.pack(len(pieces)))
    for piece in pieces:
        late = (piece.at - first.at) // timedelta(microseconds=1)
        head += _PLACE.pack(piece.position - first.position, piece.size, late)
    parts = [packer.compress(bytes(head)), *(packer.compress(piece.data) for piece in pieces), packer.flush()]
    return b"".join(parts)


def inflated(first: Piece) -> Iterator[Piece]:
    """The pieces of a block. ``first`` is its row: place, time and step of its first piece, ``data`` the block."""
    raw = memoryview(zlib.decompress(first.data))
    (count,) = _COUNT.unpack_from(raw)
    begin = _COUNT.size + count * _PLACE.size
    offset = first.offset
    for distance, size, late in _PLACE.iter_unpack(raw[_COUNT.size : begin]):
        yield replace(
            first,
            offset=offset,
            position=first.position + distance,
            at=first.at + timedelta(microseconds=late),
            data=bytes(raw[begin : begin + size]),
        )
        begin += size
        offset += size
