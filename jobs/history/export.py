"""The history as a file: CSV or JSON lines, made while it is sent."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from asgiref.sync import sync_to_async
from django.db import transaction
from django.http import StreamingHttpResponse
from django.utils import timezone

from hardware.events import audit
from jobs.history.query import Query
from jobs.history.rows import Row, batches

COLUMNS = (
    "id", "kind", "state", "machines", "person", "created_at", "started_at", "ended_at", "seconds", "attempt",
    "retry_of", "plan_hash", "failure_code", "failure_cause", "params",
)  # fmt: skip
TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}
# What makes a spreadsheet take a cell for a formula.
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n")


def answer(query: Query, form: str, *, actor: str) -> StreamingHttpResponse:
    """The file as an answer. ``form`` is ``csv`` or ``jsonl``. The trail says who took it."""
    with transaction.atomic():
        audit("jobs.export", f"jobs:{form}", actor=actor)
    made = StreamingHttpResponse(stream(query, form), content_type=TYPES[form])
    made["Content-Disposition"] = f'attachment; filename="jobs-{timezone.now():%Y%m%d-%H%M%S}.{form}"'
    return made


async def stream(query: Query, form: str) -> AsyncIterator[bytes]:
    """The file, a piece for each batch of jobs."""
    lines = csv_lines if form == "csv" else json_lines
    if form == "csv":
        # With the mark that tells a spreadsheet it is UTF-8.
        yield b"\xef\xbb\xbf" + (",".join(COLUMNS) + "\r\n").encode()
    reading = batches(query)
    while True:
        piece = await sync_to_async(_piece)(reading, lines)
        if piece is None:
            return
        yield piece


def csv_lines(rows: Sequence[Row]) -> bytes:
    """Rows as RFC 4180 writes them; no cell is a formula to a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text)
    for row in rows:
        cells = values(row)
        cells["machines"] = " ".join(row.machines)
        cells["params"] = json.dumps(cells["params"], ensure_ascii=False)
        writer.writerow([harmless(cells[name]) for name in COLUMNS])
    return text.getvalue().encode()


def json_lines(rows: Sequence[Row]) -> bytes:
    """Rows as JSON, one object a line."""
    return b"".join(json.dumps(values(row), ensure_ascii=False).encode() + b"\n" for row in rows)


def values(row: Row) -> dict[str, Any]:
    """One job; times in UTC as ISO 8601 writes them, ``seconds`` from its start to its end."""
    job = row.job
    took = (job.ended_at - job.started_at).total_seconds() if job.ended_at and job.started_at else None
    return {
        "id": job.pk,
        "kind": job.kind,
        "state": job.state,
        "machines": row.machines,
        "person": job.created_by,
        "created_at": job.created_at.isoformat(),
        "started_at": job.started_at.isoformat() if job.started_at else None,
        "ended_at": job.ended_at.isoformat() if job.ended_at else None,
        "seconds": took,
        "attempt": job.attempt,
        "retry_of": job.retry_of_id,
        "plan_hash": job.plan_hash,
        "failure_code": job.failure.get("code", ""),
        "failure_cause": job.failure.get("cause", ""),
        "params": job.params,
    }


def harmless(cell: Any) -> Any:
    """A text that a spreadsheet would run as a formula gets an apostrophe before it, and is text."""
    return "'" + cell if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def _piece(reading: Any, lines: Callable[[Sequence[Row]], bytes]) -> bytes | None:
    rows = next(reading, None)
    return None if rows is None else lines(rows)
