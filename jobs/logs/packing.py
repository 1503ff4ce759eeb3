"""Packing a run's log once the run has ended, and closing a job's once the job has.

A worker packs in a thread of its own, beside its jobs. What it leaves undone, by its death or because a person ended
the job, is found by the beat task ``jobs.tend_logs``. Chunks go and their block comes in one transaction.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

from django.db import DatabaseError, close_old_connections, transaction
from django.db.models import Sum
from django.db.models.functions import Length

from hardware.statements import Prepared
from jobs.logs import reading
from jobs.logs.pieces import Piece, deflated, window_of
from jobs.models import Job, LogBlock, LogChunk
from jobs.states import ENDED

log = logging.getLogger(__name__)

# What is shorter stays as it came: a block would save less than it costs to make.
SHORT_BYTES = 4096
# Chunks of one block: a window of tiny ones makes several.
BLOCK_CHUNKS = 5000
# Jobs that one call of the beat task closes.
AT_ONCE = 200

# What ``closing`` says of a job that has no step to print anything.
NO_LOG = {"log_sha256": hashlib.sha256().hexdigest(), "log_stored": 0, "log_packed": True}
_LENGTH = Prepared(Job, lambda jobs, job_id: jobs.filter(pk=job_id).values_list("log_length"), int)
_thread = ThreadPoolExecutor(1, thread_name_prefix="packing")


def closing(job_id: int) -> dict[str, Any]:
    """What a job's record says of its log when the job ends. Reads all of it: to be called outside a transaction."""
    ((length,),) = _LENGTH.rows(job_id)
    digest, _ = reading.sha256(reading.whole(job_id, length=length))
    return {"log_sha256": digest, "log_stored": length, "log_packed": length < SHORT_BYTES}


def pack_step_later(job_id: int, step_id: int) -> None:
    """Pack the log of a step that has ended, in this process's packing thread. Never fails."""
    _later(job_id, pack_step, job_id, step_id)


def close_later(job_id: int) -> None:
    """Close the log of a job that has ended, in this process's packing thread. Never fails."""
    _later(job_id, close, job_id)


def leave() -> None:
    """Begin nothing more, for a process that ends; whoever tends logs does it."""
    _thread.shutdown(wait=False, cancel_futures=True)


def _later(job_id: int, call: Callable[..., None], *args: int) -> None:
    # After ``leave`` nothing is taken.
    with suppress(RuntimeError):
        _thread.submit(_quietly, job_id, call, *args)


def _quietly(job_id: int, call: Callable[..., None], *args: int) -> None:
    close_old_connections()
    try:
        call(*args)
    except DatabaseError as wrong:
        log.warning("job %s: its log is not packed yet (%s); it will be tried again", job_id, wrong)
    except Exception:
        log.exception("job %s: its log could not be packed", job_id)


def close(job_id: int) -> None:
    """Pack what is not packed of an ended job's log, and write down its hash and what it takes."""
    job = Job.objects.only("state", "log_sha256", "log_packed", "log_removed_at").get(pk=job_id)
    if not job.ended or job.log_packed or job.log_removed_at:
        return
    for source in reading.sources(job_id):
        pack(job_id, source.name)
    known = {} if job.log_sha256 else {"log_sha256": closing(job_id)["log_sha256"]}
    tables = (LogChunk.objects.filter(job=job_id), LogBlock.objects.filter(job=job_id))
    taken = sum(rows.aggregate(taken=Sum(Length("data")))["taken"] or 0 for rows in tables)
    Job.objects.filter(pk=job_id, log_removed_at=None).update(log_packed=True, log_stored=taken, **known)


def pack_step(job_id: int, step_id: int) -> None:
    """Pack what a step has printed."""
    for name in LogChunk.objects.filter(step=step_id).order_by().values_list("source", flat=True).distinct():
        pack(job_id, name)


def pack(job_id: int, source: str) -> None:
    """Turn the chunks of a source that gets no more of them into blocks; may be broken off and called again."""
    if reading.stored(source) < SHORT_BYTES:
        return
    while pieces := list(_chunks_of_a_window(source)):
        _, end = window_of(pieces[0].position)
        last = pieces[-1]
        rest = None
        if last.end > end:
            rest, last = last.since(end), replace(last, data=last.data[: end - last.position])
        if not _replace(job_id, pieces, [*pieces[:-1], last], rest):
            # Somebody else packs it.
            return


def _chunks_of_a_window(source: str) -> Iterator[Piece]:
    """The first chunks that are left, as far as they begin in one window and follow on each other."""
    rows = LogChunk.objects.filter(source=source).order_by("source_offset")
    first = rows.values_list("position", flat=True).first()
    if first is None:
        return
    _, end = window_of(first)
    yield from reading.rows(rows.filter(position__gte=first, position__lt=end)[:BLOCK_CHUNKS])


def _replace(job_id: int, chunks: list[Piece], pieces: list[Piece], rest: Piece | None) -> bool:
    """Put a block in the place of chunks; ``False`` when they are not there any more."""
    first, data = pieces[0], deflated(pieces)
    taken = LogChunk.objects.filter(
        source=first.source, source_offset__gte=first.offset, source_offset__lte=chunks[-1].offset
    )
    with transaction.atomic():
        gone, _ = taken.delete()
        if gone != len(chunks):
            transaction.set_rollback(True)
            return False
        LogBlock.objects.create(size=sum(piece.size for piece in pieces), data=data, **_row(job_id, first))
        if rest is not None:
            LogChunk.objects.create(size=rest.size, data=rest.data, **_row(job_id, rest))
    return True


def _row(job_id: int, piece: Piece) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "step_id": piece.step_id,
        "source": piece.source,
        "source_offset": piece.offset,
        "position": piece.position,
        "at": piece.at,
    }


def tend() -> int:
    """Close the logs of ended jobs that nobody closed; returns how many were found."""
    found = list(
        Job.objects.filter(state__in=ENDED, log_packed=False, log_length__gt=0)
        .order_by("pk")
        .values_list("pk", flat=True)[:AT_ONCE]
    )
    for job_id in found:
        close(job_id)
    return len(found)
