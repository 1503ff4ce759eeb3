"""The log of a job: store, number, then broadcast.

A chunk is stored under (source, offset); storing it again is a no-op. Its position in the job's log is given out in the
transaction that stores it, so positions have neither gap nor repeat, and a reader asks for ``after=POSITION``.
"""

from __future__ import annotations

import base64
from typing import Any

from hardware.events import announce
from hardware.statements import Prepared, insert
from jobs.engine.leases import ONE, Lease, fenced
from jobs.logs.pieces import Piece
from jobs.logs.reading import stored
from jobs.models import Job, JobStep, LogChunk

_LENGTH = Prepared(Job, lambda jobs, job_id: jobs.filter(pk=job_id).values_list("log_length"), int)


def append(lease: Lease, step: JobStep, source: str, offset: int, data: bytes) -> None:
    """Store one chunk; what of it is stored already is left out. Raises ``LeaseLost`` for a stale worker."""
    with fenced(lease):
        there = stored(source)
        if there > offset:
            data = data[there - offset :]
            offset = there
        if not data:
            return
        ((position,),) = _LENGTH.rows(lease.job_id)
        insert(
            LogChunk,
            job_id=lease.job_id,
            step_id=step.pk,
            source=source,
            source_offset=offset,
            position=position,
            size=len(data),
            data=data,
        )
        ONE.update(lease.job_id, log_length=position + len(data))
        announce(f"job-log:{lease.job_id}", "log", offset=position, size=len(data))


def frame(piece: Piece) -> dict[str, Any]:
    """A piece as it goes over the wire. ``data`` (base64) is there when the bytes are no UTF-8."""
    message: dict[str, Any] = {
        "offset": piece.position,
        "size": piece.size,
        "machine": piece.machine,
        "step": piece.step,
        "step_id": piece.step_id,
        "at": piece.at.isoformat(),
        "text": piece.data.decode(errors="replace"),
    }
    if "\ufffd" in message["text"]:
        message["data"] = base64.b64encode(piece.data).decode()
    return message
