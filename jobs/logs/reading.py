"""Reading a log from the store: by position across all machines, or one source from its beginning.

A run's log is moved from chunks to blocks after its end, while it may be read. So chunks are read first and blocks
after them: what was moved in between is seen twice rather than not at all, and what stands before the place that was
reached is dropped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from operator import attrgetter
from typing import Any

from django.db.models import Min, QuerySet

from hardware.statements import Prepared
from jobs.logs.pieces import Piece, inflated, window_of
from jobs.logs.plain import readable
from jobs.models import Job, JobStep, LogBlock, LogChunk

# One call reads no more, whoever asks: bytes, and pieces.
READ_BYTES = 1 << 20
READ_PIECES = 2000

# What the console's own steps printed goes under this name, where a machine's goes under the machine's.
CONSOLE = "console"

# Asked before each chunk is stored.
_LAST = [
    Prepared(
        table,
        lambda rows, source: (
            rows.filter(source=source).order_by("-source_offset").values_list("source_offset", "size")[:1]
        ),
        str,
    )
    for table in (LogChunk, LogBlock)
]
_HEAD = ("position", "size")
_ROW = ("source", "source_offset", "position", "at", "data", "step_id", "step__key", "step__machine__name")


class LogGone(Exception):
    """The log was removed while it was read: what was read is not the whole of it."""


def check_kept(job_id: int) -> None:
    """Raise ``LogGone`` for a log that was removed. To be asked when it was read: it is said before the first byte
    goes.
    """
    if Job.objects.filter(pk=job_id, log_removed_at__isnull=False).exists():
        raise LogGone(f"The log of job {job_id} was removed while it was read.")


def read(
    job_id: int, after: int, size: int = READ_BYTES, count: int = READ_PIECES, *, length: int | None = None
) -> list[Piece]:
    """Pieces of the log from ``after`` on, in order and without a gap; none where nothing is stored.

    The first one begins at ``after`` itself. ``size`` bytes or ``count`` pieces end it, though it has one piece if
    there is one. A caller that knows the log's length spares a look for what comes after it.
    """
    found: list[Piece] = []
    total, at = 0, after
    while len(found) < count and (length is None or at < length):
        began = at
        for piece in _window(job_id, at, max(1, size - total), count - len(found)):
            if piece.position > at:
                break
            if piece.end <= at:
                continue
            piece = piece.since(at)
            if found and (total + piece.size > size or len(found) >= count):
                return found
            found.append(piece)
            total += piece.size
            at = piece.end
        if at == began:
            break
    return found


def _window(job_id: int, at: int, size: int, count: int) -> list[Piece]:
    """What is stored of the window that ``at`` is in: chunks of about ``size`` bytes, and all its blocks."""
    begin, end = window_of(at)
    chunks = LogChunk.objects.filter(job=job_id)
    heads = list(chunks.filter(position__gte=at, position__lt=end).order_by("position").values_list(*_HEAD)[:count])
    if not heads or heads[0][0] != at:
        heads = [*chunks.filter(position__lt=at).order_by("-position").values_list(*_HEAD)[:1], *heads]
    last, total = at, 0
    for position, length in heads:
        last, total = position, total + length
        if total >= size:
            break
    first = heads[0][0] if heads else at
    here = rows(chunks.filter(position__gte=first, position__lte=last)) if heads else ()
    blocks = LogBlock.objects.filter(job=job_id, position__gte=begin, position__lt=end)
    return sorted(chain(here, *map(inflated, rows(blocks))), key=attrgetter("position"))


def whole(job_id: int, after: int = 0, length: int | None = None) -> Iterator[Piece]:
    """The log from ``after`` to its end as it is now, read bit by bit; ``length`` spares the last look."""
    while pieces := read(job_id, after, length=length):
        yield from pieces
        after = pieces[-1].end


def of_steps(job_id: int, steps: Sequence[int], after: int, length: int) -> Iterator[Piece]:
    """What some steps printed from the position ``after`` to ``length``, in the order of positions."""
    reached: dict[str, int] = {}
    first = True
    while after < length:
        begin, end = window_of(after)
        mine = {"job": job_id, "step__in": steps, "position__lt": end}
        chunks = LogChunk.objects.filter(position__gte=after, **mine)
        here = [*_around(job_id, steps, after), *rows(chunks)] if first else rows(chunks)
        blocks = LogBlock.objects.filter(position__gte=begin, **mine)
        for piece in sorted(chain(here, *map(inflated, rows(blocks))), key=attrgetter("position")):
            skip = max(after - piece.position, reached.get(piece.source, 0) - piece.offset, 0)
            if skip < piece.size:
                piece = piece.since(piece.position + skip)
                reached[piece.source] = piece.offset + piece.size
                yield piece
        after, first = end, False


def _around(job_id: int, steps: Sequence[int], after: int) -> Iterator[Piece]:
    """The chunk of one of the steps that begins before ``after`` and goes beyond it."""
    before = LogChunk.objects.filter(job=job_id, position__lt=after).order_by("-position")[:1]
    return (piece for piece in rows(before) if piece.step_id in steps and piece.end > after)


def of_source(source: str, offset: int = 0) -> Iterator[Piece]:
    """What is stored of a source from ``offset`` on, which is where a piece begins."""
    while True:
        began = offset
        for piece in _next_of(source, offset):
            if piece.offset == offset:
                yield piece
                offset += piece.size
        if offset == began:
            return


def _next_of(source: str, offset: int) -> list[Piece]:
    """Some pieces from ``offset`` on."""
    chunks = LogChunk.objects.filter(source=source, source_offset__gte=offset).order_by("source_offset")
    last, total = -1, 0
    for start, length in chunks.values_list("source_offset", "size")[:READ_PIECES]:
        last, total = start, total + length
        if total >= READ_BYTES:
            break
    here = rows(chunks.filter(source_offset__lte=last))
    # The one that ``offset`` is in: chunks that were read up to there may have gone into a block that began earlier.
    block = LogBlock.objects.filter(source=source, source_offset__lte=offset).order_by("-source_offset")
    found = chain(here, *map(inflated, rows(block[:1])))
    return sorted(found, key=attrgetter("offset"))


def before(source: str, offset: int) -> Iterator[Piece]:
    """What is stored of a source before ``offset``, from there back to its beginning."""
    while offset > 0:
        chunk = LogChunk.objects.filter(source=source, source_offset__lt=offset).order_by("-source_offset")
        block = LogBlock.objects.filter(source=source, source_offset__lt=offset).order_by("-source_offset")
        found = {p.offset: p for p in chain(rows(chunk[:1]), *map(inflated, rows(block[:1])))}
        reached = offset
        for start in sorted(found, reverse=True):
            piece = found[start]
            if start < offset <= start + piece.size:
                yield replace(piece, data=piece.data[: offset - start])
                offset = start
        if offset == reached:
            return


def stored(source: str) -> int:
    """How many bytes of a source are stored: where to go on reading it."""
    # Blocks are made from the beginning on: where there is a chunk, the last one is the end.
    for last in _LAST:
        for offset, size in last.rows(source):
            return int(offset + size)
    return 0


def tail(source: str, size: int = 65536) -> str:
    """The last ``size`` bytes or so of a source, as a person reads them."""
    parts: list[bytes] = []
    got = 0
    for piece in before(source, stored(source)):
        parts.append(piece.data)
        got += piece.size
        if got >= size:
            break
    return readable(b"".join(reversed(parts))[-size:])


def sha256(pieces: Iterable[Piece]) -> tuple[str, int]:
    """SHA-256 of the bytes of pieces, one after the other, and how many they are."""
    digest, size = hashlib.sha256(), 0
    for piece in pieces:
        digest.update(piece.data)
        size += piece.size
    return digest.hexdigest(), size


def measure(source: str) -> tuple[str, int]:
    """SHA-256 and length of all that is stored of a source."""
    return sha256(of_source(source))


@dataclass(frozen=True)
class Source:
    """What one command printed: a run on a machine, or an attempt on the console itself (``machine`` is ``None``)."""

    name: str
    step_id: int
    step: str
    machine: str | None


def steps_of(job_id: int, machine: str) -> QuerySet[JobStep]:
    """The steps of a job on a machine; under ``console`` the console's own, if no machine is called so."""
    steps = JobStep.objects.filter(job=job_id)
    mine = steps.filter(machine__name=machine)
    return steps.filter(machine=None) if machine == CONSOLE and not mine.exists() else mine


def ran_on(job_id: int, machine: str) -> bool:
    """Whether a log can be asked for by this name. ``console`` always can: its own steps may print nothing."""
    return machine == CONSOLE or steps_of(job_id, machine).exists()


def sources(job_id: int, machine: str | None = None) -> list[Source]:
    """The sources of a job's log in the order in which they began, or those of one machine."""
    steps = JobStep.objects.filter(job=job_id) if machine is None else steps_of(job_id, machine)
    named = {pk: (key, name) for pk, key, name in steps.values_list("pk", "key", "machine__name")}
    first: dict[tuple[str, int], int] = {}
    for table in (LogChunk, LogBlock):
        for source, step, position in _firsts(table.objects.filter(job=job_id)):
            if step in named:
                first[source, step] = min(position, first.get((source, step), position))
    return [Source(source, step, *named[step]) for source, step in sorted(first, key=lambda place: first[place])]


def _firsts(rows: QuerySet[Any]) -> Iterable[tuple[str, int, int]]:
    return rows.order_by().values_list("source", "step_id").annotate(first=Min("position"))


def rows(found: QuerySet[Any]) -> Iterator[Piece]:
    """Rows of either table as pieces; one of a block has the block as its data."""
    for source, offset, position, at, data, step_id, step, machine in found.values_list(*_ROW):
        yield Piece(source, offset, position, at, bytes(data), step_id, step, machine)
