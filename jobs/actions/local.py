"""Running a command line on the console itself, in a work folder of its own.

The folder is made anew at each attempt: what a killed worker left half-made is never taken for a result.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from django.conf import settings

from hardware.processes import die_with_parent
from hardware.ssh.cursor import CHUNK, HOLD, Cursor, OnChunk
from jobs.depot.models import blob_path
from jobs.failures import JobFailed

GRACE_SECONDS = 10
# What a command line may know of the console's environment: nothing that could hold a secret.
PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "OMP_NUM_THREADS", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


@asynccontextmanager
async def work_folder(run_id: str, attempt: int, inputs: dict[str, str]) -> AsyncIterator[Path]:
    """An empty folder but for the depot's blobs under their names; gone when the step is.

    Raises ``JobFailed`` when the depot has lost the bytes of an input.
    """
    work = Path(settings.VAR_DIR) / "work"
    # Each attempt's own: a worker that has lost its lease and does not know it yet writes into none but its own.
    for earlier in work.glob(f"{run_id}.*"):
        await asyncio.to_thread(shutil.rmtree, earlier, ignore_errors=True)
    folder = work / f"{run_id}.{attempt}"
    folder.mkdir(parents=True)
    try:
        for file, sha256 in inputs.items():
            blob = blob_path(sha256)
            if not blob.exists():
                raise JobFailed(
                    "artifact-missing", f"The depot no longer has the bytes of {file}.", "Ingest the file again."
                )
            (folder / file).symlink_to(blob)
        yield folder
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def execute_locally(
    arguments: list[str], folder: Path, on_chunk: OnChunk, stop: asyncio.Event, timeout_s: float
) -> tuple[int, bool]:
    """Run to the end; returns the exit status (128 + signal for a killed one) and whether it ran out of time.

    Output goes to ``on_chunk(offset, data)`` as it comes. When ``stop`` is set, or time is up, the process group gets
    TERM and, after a grace, KILL. A worker that dies takes the process with it.
    """
    program = [sys.executable if part == "python" and i == 0 else part for i, part in enumerate(arguments)]
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *program,
        cwd=folder,
        env={**environment, "PYTHONPATH": str(settings.BASE_DIR), "PYTHONUNBUFFERED": "1"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=lambda: die_with_parent(signal.SIGKILL),
    )
    reading = asyncio.create_task(_read(process, Cursor(0, on_chunk)))
    stopping = asyncio.create_task(stop.wait())
    late = False
    try:
        await asyncio.wait({reading, stopping}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        late = not reading.done() and not stopping.done()
        if not reading.done():
            _signal(process, signal.SIGTERM)
            await asyncio.wait({reading}, timeout=GRACE_SECONDS)
        if not reading.done():
            _signal(process, signal.SIGKILL)
        await reading
        status = await process.wait()
        return (128 - status if status < 0 else status), late
    finally:
        stopping.cancel()
        reading.cancel()
        if process.returncode is None:
            _signal(process, signal.SIGKILL)


def report_of(log: str) -> dict[str, Any]:
    """The JSON object on the last line of a command line's output; empty when there is none."""
    last = next((line for line in reversed(log.splitlines()) if line.strip()), "")
    try:
        report = json.loads(last)
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}


async def _read(process: asyncio.subprocess.Process, cursor: Cursor) -> None:
    assert process.stdout is not None
    while True:
        try:
            async with asyncio.timeout(HOLD if cursor.held else None):
                data = await process.stdout.read(CHUNK)
        except TimeoutError:
            await cursor.flush(everything=True)
            continue
        if not data:
            break
        await cursor.take(data)
    await cursor.flush(everything=True)


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
