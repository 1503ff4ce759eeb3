"""The log of a job: store, number, then broadcast.

A chunk is stored under (source, offset); storing it again is a no-op. Its position in the job's log is given out in the
transaction that stores it, so positions have neither gap nor repeat, and a reader asks for ``after=POSITION``.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from django.db.models import Max, Sum

from hardware.events import announce
from jobs.leases import Lease, fenced
from jobs.models import Job, JobStep, LogChunk


def append(lease: Lease, step: JobStep, source: str, offset: int, data: bytes) -> None:
    """Store one chunk. Raises ``LeaseLost`` for a stale worker."""
    with fenced(lease):
        if LogChunk.objects.filter(source=source, source_offset=offset).exists():
            return
        position = Job.objects.values_list("log_length", flat=True).get(pk=lease.job_id)
        chunk = LogChunk.objects.create(
            job_id=lease.job_id,
            step=step,
            source=source,
            source_offset=offset,
            position=position,
            size=len(data),
            data=data,
        )
        Job.objects.filter(pk=lease.job_id).update(log_length=position + len(data))
        chunk.step = step
        announce(f"job-log:{lease.job_id}", "log", **frame(chunk))


def stored(source: str) -> int:
    """How many bytes of a source are stored: where to go on reading it."""
    return int(LogChunk.objects.filter(source=source).aggregate(total=Sum("size"))["total"] or 0)


def replay(job_id: int, after: int, limit: int = 200) -> list[LogChunk]:
    """The chunks from a position on, in order, ``limit`` at most."""
    return list(
        LogChunk.objects.filter(job=job_id, position__gte=after)
        .select_related("step__machine")
        .order_by("position")[:limit]
    )


def frame(chunk: LogChunk) -> dict[str, Any]:
    """A chunk as it goes over the wire. ``data`` (base64) is there when the bytes are no UTF-8."""
    raw = bytes(chunk.data)
    message: dict[str, Any] = {
        "offset": chunk.position,
        "size": chunk.size,
        "machine": chunk.step.machine.name if chunk.step.machine else None,
        "step": chunk.step.key,
        "step_id": chunk.step_id,
        "at": chunk.at.isoformat(),
        "text": raw.decode(errors="replace"),
    }
    if "\ufffd" in message["text"]:
        message["data"] = base64.b64encode(raw).decode()
    return message


def tail(source: str, size: int = 65536) -> str:
    """The last ``size`` bytes or so of a source, decoded."""
    pieces: list[bytes] = []
    got = 0
    for data in (
        LogChunk.objects.filter(source=source).order_by("-source_offset").values_list("data", flat=True).iterator(8)
    ):
        pieces.append(bytes(data))
        got += len(pieces[-1])
        if got >= size:
            break
    return b"".join(reversed(pieces))[-size:].decode(errors="replace")


def sha256(source: str) -> str:
    """SHA-256 of all that is stored of a source."""
    digest = hashlib.sha256()
    for data in (
        LogChunk.objects.filter(source=source).order_by("source_offset").values_list("data", flat=True).iterator()
    ):
        digest.update(bytes(data))
    return digest.hexdigest()


def end(job_id: int) -> int:
    """The position after the last stored byte."""
    last = LogChunk.objects.filter(job=job_id).aggregate(last=Max("position"))["last"]
    return 0 if last is None else Job.objects.values_list("log_length", flat=True).get(pk=job_id)
