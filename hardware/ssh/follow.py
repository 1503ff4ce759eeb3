"""Following a run's log by byte offset, over as many links as it takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import asyncssh

from hardware.ssh import root as as_root
from hardware.ssh import supervisor
from hardware.ssh.command import execute
from hardware.ssh.cursor import CHUNK, HOLD, Cursor, OnChunk
from hardware.ssh.endpoint import Endpoint
from hardware.ssh.errors import CommandTimeout, LinkLost, MachineRebooted, RunLost, Unreachable
from hardware.ssh.hostkeys import reason
from hardware.ssh.pool import Pool
from hardware.ssh.runs import inspect
from hardware.ssh.supervisor import RUNS_DIR

# A link that held for so long is a new one when it is cut again.
HELD_SECONDS = 2

OnLink = Callable[[bool], Awaitable[None]]


@dataclass(frozen=True)
class Finished:
    """How a run ended; ``log_sha256`` is the machine's own reckoning over ``log_bytes`` bytes."""

    exit_status: int
    log_bytes: int
    log_sha256: str


async def follow(
    pool: Pool,
    endpoint: Endpoint,
    run_id: str,
    *,
    after: int,
    on_chunk: OnChunk,
    on_link: OnLink | None = None,
    patience: float = 600,
    root: str = RUNS_DIR,
) -> Finished:
    """Hand every byte of the log from ``after`` on to ``on_chunk(offset, data)``, in order, until the run ends.

    A cut link is made again with growing pauses; ``on_link(False)`` tells that it is cut, ``on_link(True)`` that it is
    back. Raises ``LinkLost`` when it stays cut for ``patience`` seconds, ``MachineRebooted`` and ``RunLost``: of these
    two the first, and a killed supervisor, leave a log, and that was handed on.
    """
    cursor = Cursor(after, on_chunk)
    cut_since: float | None = None
    pause = 0.2
    linked = True
    while True:
        before, began = cursor.offset, time.monotonic()
        try:
            if not linked:
                await pool.connection(endpoint)
                linked = True
                if on_link:
                    await on_link(True)
            status = await _stream(pool, endpoint, supervisor.follow_text(root, run_id, cursor.offset), cursor)
            if status == 0:
                return await _finish(pool, endpoint, run_id, root, cursor)
            if status in (supervisor.REBOOTED, supervisor.SUPERVISOR_GONE):
                await _rest_of_a_cut_run(pool, endpoint, run_id, root, cursor)
            _judge(endpoint, run_id, status, cursor.offset)
            raise LinkLost(endpoint.name, "the SSH link was cut.")
        except (LinkLost, Unreachable, CommandTimeout) as wrong:
            cursor.drop()
            now = time.monotonic()
            # A link that held was up, though the command had nothing to say meanwhile.
            held = linked and now - began > HELD_SECONDS
            if cursor.offset > before or held or cut_since is None:
                cut_since, pause = now, 0.2
            if linked and on_link:
                await on_link(False)
            linked = False
            if now - cut_since > patience:
                raise LinkLost(endpoint.name, f"the SSH link has been cut for {patience:g} s.") from wrong
            await asyncio.sleep(pause)
            pause = min(pause * 2, 10)


async def _stream(pool: Pool, endpoint: Endpoint, text: str, cursor: Cursor) -> int | None:
    """The exit status of ``text``, after all that it printed went to the cursor."""
    connection = await pool.connection(endpoint)
    status: int | None = None
    try:
        process = await as_root.start(connection, endpoint, text, input=False, quiet=True, encoding=None)
        async with process:
            while True:
                try:
                    async with asyncio.timeout(HOLD if cursor.held else None):
                        data = await process.stdout.read(CHUNK)
                except TimeoutError:
                    await cursor.flush()
                    if cursor.held:
                        # A cut character: the rest of it can only come with the next bytes.
                        data = await process.stdout.read(CHUNK)
                    else:
                        continue
                if not data:
                    break
                await cursor.take(data)
            await process.wait_closed()
            status = process.exit_status
    except (OSError, asyncssh.Error) as wrong:
        pool.forget(endpoint)
        raise LinkLost(endpoint.name, f"the SSH link was cut ({reason(wrong)}).") from wrong
    return status


async def _finish(pool: Pool, endpoint: Endpoint, run_id: str, root: str, cursor: Cursor) -> Finished:
    """Read exit status, size and hash, then what the log still holds up to that size.

    What the command left running may write there for ever: the log ends where it stood when this was asked.
    """
    # tail was stopped the moment the run had ended: its last bytes are read again, by offset.
    cursor.drop()
    result = await execute(pool, endpoint, supervisor.finish_text(root, run_id), timeout=600)
    parts = result.stdout.split()
    if result.exit_status != 0 or len(parts) != 3:
        raise RunLost(endpoint.name, f"the folder of run {run_id} was removed before its end could be read.")
    finished = Finished(int(parts[0]), int(parts[1]), parts[2])
    if finished.log_bytes < cursor.offset:
        raise _cut_short(endpoint, run_id, cursor.offset)
    if finished.log_bytes > cursor.offset:
        rest = supervisor.rest_text(root, run_id, cursor.offset, finished.log_bytes)
        await _stream(pool, endpoint, rest, cursor)
        await cursor.flush(everything=True)
    if finished.log_bytes != cursor.offset:
        raise LinkLost(endpoint.name, f"the log has {finished.log_bytes} bytes, {cursor.offset} arrived.")
    return finished


async def _rest_of_a_cut_run(pool: Pool, endpoint: Endpoint, run_id: str, root: str, cursor: Cursor) -> None:
    """What the log of a run that will have no end holds now: its last lines are those that say what it was about."""
    cursor.drop()
    there = (await inspect(pool, endpoint, run_id, root=root)).log_bytes or 0
    if there > cursor.offset:
        await _stream(pool, endpoint, supervisor.rest_text(root, run_id, cursor.offset, there), cursor)
        await cursor.flush(everything=True)


def _judge(endpoint: Endpoint, run_id: str, status: int | None, stored: int) -> None:
    if status == supervisor.NO_RUN:
        raise RunLost(endpoint.name, f"run {run_id} has no folder, or was never started.")
    if status == supervisor.REBOOTED:
        raise MachineRebooted(endpoint.name, f"it restarted while run {run_id} was under way.")
    if status == supervisor.SUPERVISOR_GONE:
        raise RunLost(endpoint.name, f"what watched over run {run_id} was killed before the run's end.")
    if status == supervisor.LOG_CUT:
        raise _cut_short(endpoint, run_id, stored)


def _cut_short(endpoint: Endpoint, run_id: str, stored: int) -> RunLost:
    return RunLost(endpoint.name, f"the log of run {run_id} was cut short: {stored} bytes of it are stored.")
