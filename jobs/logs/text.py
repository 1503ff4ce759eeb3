"""The log of a job as a file: one machine's bytes as they came, all machines' lines, or a zip with a file for each.

Each is made while it is sent, in memory that does not grow with the log. One whose log is removed meanwhile breaks off
with ``LogGone``: the link is cut, and nobody takes what arrived for the whole.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from time import localtime

from asgiref.sync import sync_to_async

from jobs.logs.pieces import Piece
from jobs.logs.reading import CONSOLE, Source, check_kept, of_source, sources, whole
from jobs.models import Job

SEND_BYTES = 1 << 18
# A line that is longer is broken where the lines of all machines are mixed: it would have to be held until it ends.
LONGEST_LINE = 1 << 16


async def stream(job_id: int, machine: str | None) -> AsyncIterator[bytes]:
    """The log from its beginning. With ``machine`` (``console`` for the console's own steps) its bytes unchanged, one
    run after the other; without, whole lines of all of them, each with its machine.
    """
    parts = of_machine(job_id, machine) if machine else mixed(whole(job_id))
    async for part in sent(to_its_end(job_id, parts)):
        yield part


async def zipped(job: Job) -> AsyncIterator[bytes]:
    """A zip with a file for each machine, and their SHA-256 as ``sha256sum -c`` reads them."""
    async for part in sent(_zip(job)):
        yield part


async def sent(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    """The parts, joined to pieces that are worth sending, made in a thread."""
    making = iter(parts)
    while piece := await sync_to_async(_some)(making):
        yield piece


def _some(parts: Iterator[bytes]) -> bytes:
    made = bytearray()
    for part in parts:
        made += part
        if len(made) >= SEND_BYTES:
            break
    return bytes(made)


def to_its_end(job_id: int, parts: Iterable[bytes]) -> Iterator[bytes]:
    """The parts. Raises ``LogGone`` after the last of them where these are not all."""
    yield from parts
    check_kept(job_id)


def of_machine(job_id: int, machine: str) -> Iterator[bytes]:
    """What was printed on one machine, or with ``console`` by the console's own steps."""
    for source in sources(job_id, machine):
        yield from (piece.data for piece in of_source(source.name))


def mixed(pieces: Iterable[Piece]) -> Iterator[bytes]:
    """Pieces of several sources -> whole lines: a line that one of them has not ended waits for its end."""
    lines = Lines()
    for piece in pieces:
        yield lines.feed(piece.source, piece.machine or CONSOLE, piece.data)
    yield lines.rest()


class Lines:
    """Whole lines with their machine before them; a very long one is broken, its parts marked with ``+``."""

    def __init__(self) -> None:
        # Source -> its machine, the bytes of the open line, whether these go on with a line that was broken.
        self.open: dict[str, tuple[str, bytes, bool]] = {}

    def feed(self, source: str, name: str, data: bytes) -> bytes:
        _, held, goes_on = self.open.get(source, (name, b"", False))
        *ended, last = (held + data).split(b"\n")
        made = []
        for line in ended:
            made.append(_line(name, line, goes_on))
            goes_on = False
        while len(last) >= LONGEST_LINE:
            made.append(_line(name, last[:LONGEST_LINE], goes_on))
            last, goes_on = last[LONGEST_LINE:], True
        self.open[source] = (name, last, goes_on)
        return b"".join(made)

    def rest(self) -> bytes:
        """The lines that nobody ended."""
        return b"".join(_line(name, line, goes_on) for name, line, goes_on in self.open.values() if line)


def _line(name: str, line: bytes, goes_on: bool) -> bytes:
    return b"[" + name.encode() + (b" +] " if goes_on else b"] ") + line + b"\n"


@dataclass
class _Sink:
    """What ``zipfile`` writes into: it can't seek, and is emptied as it fills."""

    held: bytearray = field(default_factory=bytearray)

    def write(self, data: bytes) -> int:
        self.held += data
        return len(data)

    def flush(self) -> None:
        return

    def close(self) -> None:
        return

    def taken(self) -> bytes:
        taken, self.held = bytes(self.held), bytearray()
        return taken


def _zip(job: Job) -> Iterator[bytes]:
    sink, sums = _Sink(), []
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as made:
        for name, found in _files(job.pk):
            digest = hashlib.sha256()
            with made.open(_entry(job, name), "w", force_zip64=True) as file:
                for source in found:
                    for piece in of_source(source.name):
                        digest.update(piece.data)
                        file.write(piece.data)
                        yield sink.taken()
            sums.append(f"{digest.hexdigest()}  {name}\n")
        check_kept(job.pk)
        with made.open(_entry(job, "SHA256SUMS"), "w") as file:
            file.write("".join(sums).encode())
    yield sink.taken()


def _files(job_id: int) -> Iterator[tuple[str, list[Source]]]:
    """File names and what goes into them. Names of machines are letters, digits, dots, dashes and underscores."""
    found = sorted(sources(job_id), key=lambda source: (source.machine is not None, source.machine or ""))
    taken = {source.machine for source in found}
    for machine, of_it in groupby(found, key=lambda source: source.machine):
        plain = CONSOLE if machine is None else machine
        yield f"{plain}{'-itself' if machine is None and CONSOLE in taken else ''}.log", list(of_it)


def _entry(job: Job, name: str) -> zipfile.ZipInfo:
    at = localtime((job.ended_at or job.created_at).timestamp())
    entry = zipfile.ZipInfo(f"job-{job.pk}/{name}", date_time=at[:6])
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry
