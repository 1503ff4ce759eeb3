"""Finding text in a log, as far as a request may go: so many bytes, so many hits, so long.

What is searched is what a person reads: without colours, of an overwritten line its last state, in any case of
letters. A hit is a line. It is decided where its last byte is stored, so a search that goes on at ``next`` misses none;
one that had not ended where the search stopped may be told again, at the same position. There are no regular
expressions: one that backtracks takes as long as it likes, and nothing can stop it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from jobs.logs.pieces import Piece
from jobs.logs.plain import readable
from jobs.logs.reading import before, of_steps, steps_of, whole
from jobs.models import Job

SCAN_BYTES = 64 << 20
SCAN_SECONDS = 3.0
MOST_HITS = 500
LONGEST_QUERY = 200
# So much of a line that does not end is held; where it is longer, parts of it are searched that overlap.
HELD_BYTES = 1 << 16
OVERLAP_BYTES = 4096
# Characters of a line that a hit shows around what was found.
AROUND = 120


@dataclass(frozen=True)
class Hit:
    """A line. ``position`` is where its first byte stands in the job's log; ``text`` is what is around the match."""

    position: int
    machine: str | None
    step: str
    step_id: int
    at: datetime
    text: str


@dataclass
class Found:
    """``next`` is where to go on; ``whole`` says that the log was searched to its end, as it is now."""

    hits: list[Hit] = field(default_factory=list)
    next: int = 0
    whole: bool = False


@dataclass
class _Open:
    """The line of one source that has not ended yet."""

    position: int
    at: datetime
    data: bytes = b""
    told: bool = False


def search(job: Job, query: str, *, machine: str = "", after: int = 0, most: int = MOST_HITS) -> Found:
    """Lines that end at ``after`` or later and have ``query`` in them; ``machine`` leaves those of others out."""
    if machine:
        steps = list(steps_of(job.pk, machine).values_list("pk", flat=True))
        pieces = of_steps(job.pk, steps, after, job.log_length)
    else:
        pieces = whole(job.pk, after)
    return _Search(query.lower(), after, most).through(pieces, job.log_length)


class _Search:
    def __init__(self, needle: str, after: int, most: int) -> None:
        self.needle = needle
        self.most = most
        self.open: dict[str, _Open] = {}
        self.found = Found(next=after)

    def through(self, pieces: Iterator[Piece], length: int) -> Found:
        found, scanned, began = self.found, 0, time.monotonic()
        last: dict[str, Piece] = {}
        for piece in pieces:
            self._feed(piece)
            last[piece.source] = piece
            found.next = piece.end
            scanned += piece.size
            if len(found.hits) >= self.most or scanned >= SCAN_BYTES or time.monotonic() - began > SCAN_SECONDS:
                break
        else:
            found.whole = True
            found.next = max(found.next, length)
        for source, line in self.open.items():
            self._look(last[source], line, line.data)
        return found

    def _feed(self, piece: Piece) -> None:
        line = self.open.get(piece.source)
        if line is None:
            line = self.open[piece.source] = _begun_before(piece)
        elif not line.data and not line.told:
            # Nothing of it was there yet: it begins here.
            line.position, line.at = piece.position, piece.at
        data = line.data + piece.data
        cut = data.rfind(b"\n") + 1
        if cut:
            self._lines(piece, line, data[:cut])
            rest = data[cut:]
            # What is left of the piece began in it: the open line was in the part that was cut off.
            line = self.open[piece.source] = _Open(piece.end - len(rest), piece.at, rest)
        else:
            line.data = data
        if len(line.data) > HELD_BYTES:
            self._look(piece, line, line.data)
            line.data = line.data[-OVERLAP_BYTES:]

    def _lines(self, piece: Piece, first: _Open, data: bytes) -> None:
        """Lines that have ended; the first of them may have begun earlier."""
        if self.needle not in readable(data).lower():
            return
        position, at = first.position, first.at
        # Where the piece's own bytes begin among these.
        begin = len(first.data)
        told, place = first.told, 0
        for raw in data.split(b"\n")[:-1]:
            self._look(piece, _Open(position, at, told=told), raw)
            place += len(raw) + 1
            position, at, told = piece.position + place - begin, piece.at, False

    def _look(self, piece: Piece, line: _Open, raw: bytes) -> None:
        if line.told:
            return
        text = readable(raw).rstrip("\r").rsplit("\r", 1)[-1]
        place = text.lower().find(self.needle)
        if place < 0:
            return
        line.told = True
        start = max(0, place - AROUND)
        shown = text[start : place + len(self.needle) + AROUND]
        self.found.hits.append(Hit(line.position, piece.machine, piece.step, piece.step_id, line.at, shown))


def _begun_before(piece: Piece) -> _Open:
    """The line that a source's first piece goes on with: its beginning is read, as far back as lines are held."""
    line = _Open(piece.position, piece.at)
    for earlier in before(piece.source, piece.offset) if piece.offset else ():
        cut = earlier.data.rfind(b"\n") + 1
        if cut == earlier.size:
            break
        line = _Open(earlier.position + cut, earlier.at, earlier.data[cut:] + line.data)
        if cut or len(line.data) > HELD_BYTES:
            break
    return line
