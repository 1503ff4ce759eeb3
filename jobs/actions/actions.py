"""How each action of a plan is done on a machine. Each may be called again after a worker died in its midst."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from django.conf import settings
from django.db import Error

from hardware.database import on_db, on_db_until_done
from hardware.inventory.services import probe
from hardware.ssh import runs
from hardware.ssh.command import execute
from hardware.ssh.endpoint import Endpoint
from hardware.ssh.errors import CommandTimeout, LinkLost, MachineRebooted, RunLost, SSHFailure, Unreachable
from hardware.ssh.follow import Finished, follow
from hardware.ssh.pool import Pool
from hardware.ssh.transfer import fetch, send
from hardware.ssh.tunnel import http_request
from hardware.writing import write
from jobs.actions.expectations import hold
from jobs.actions.local import execute_locally, report_of, work_folder
from jobs.actions.logins import prove
from jobs.actions.products import keep
from jobs.depot.models import blob_path
from jobs.engine import steptime
from jobs.engine.checkpoints import move, note_progress
from jobs.engine.leases import Lease
from jobs.failures import CancelRequested, Interrupted, JobFailed, LeaseLost
from jobs.kind import Kind
from jobs.logs import logbook, reading
from jobs.models import JobStep
from jobs.plan import FetchArtifact, LocalCommand, LogIn, Request, RunCommand, SendArtifact, Step
from jobs.secrets.mask import Mask, MaskedStream
from jobs.secrets.services import pick
from jobs.states import StepState

# A machine that never answered is given up sooner than one whose link was cut.
FIRST_CONTACT_SECONDS = 5
CANCEL_AGAIN_SECONDS = 2
# The shortest command there is takes no longer, however busy the machine.
ANSWER_SECONDS = 10
# How much of a command line's output is searched for its report.
REPORT_BYTES = 4 << 20

T = TypeVar("T")


class Actions:
    """The actions of one job's steps. ``stop`` is set when the job was asked to stop."""

    def __init__(
        self,
        pool: Pool,
        lease: Lease,
        kind: Kind,
        stop: asyncio.Event,
        turns: asyncio.Semaphore,
        secrets: Mapping[str, str] | None = None,
    ) -> None:
        """``turns`` lets few commands at a time run on the console itself. ``secrets`` are those of the job."""
        self.secrets = secrets or {}
        self.mask = Mask(self.secrets.values())
        # Machines that this job was linked to once, by id: a link to them that is cut is waited for.
        self.reached: set[int | None] = set()
        self.pool = pool
        self.lease = lease
        self.kind = kind
        self.stop = stop
        self.turns = turns

    async def local(self, row: JobStep, step: Step, action: LocalCommand) -> dict[str, Any]:
        """Run a command line here, store its log and what it made."""
        # The attempt is part of the name: a second one begins anew, and its lines stand after those of the first.
        source = f"local:{row.run_id}:{self.lease.attempt}"

        async def on_chunk(offset: int, data: bytes) -> None:
            await write(logbook.append, self.lease, row, source, offset, data)

        async with self.turns, work_folder(row.run_id, self.lease.attempt, action.inputs) as folder:
            masked = MaskedStream(self.mask, on_chunk)
            seconds = await steptime.left(row, action.timeout_s)
            status, late = await execute_locally(action.arguments, folder, masked.take, self.stop, seconds)
            await masked.flush()
            log = await on_db_until_done(reading.tail, source, REPORT_BYTES)
            row.exit_status, (row.log_sha256, row.log_length) = status, await on_db_until_done(reading.measure, source)
            if self.stop.is_set():
                raise CancelRequested
            if late:
                raise steptime.too_late("the console", row, action.timeout_s)
            result = await asyncio.to_thread(self.kind.judge, step, status, log)
            report = report_of(log)
            made = await on_db_until_done(keep, self.lease.job_id, folder, action.products)
            return {**result, "report": report, "artifacts": made}

    async def run(self, row: JobStep, step: Step, action: RunCommand, endpoint: Endpoint) -> dict[str, Any]:
        """Start or attach to the run, store its log, judge its end."""
        while True:
            try:
                await self._start(row, action, endpoint)
                finished, stopped = await self._follow(row, action, endpoint)
                break
            except RunLost:
                await self._wipe(row, action, endpoint)
                raise
            except MachineRebooted as wrong:
                await self._wipe(row, action, endpoint)
                if not action.repeatable:
                    raise Interrupted(wrong.code, str(wrong), wrong.mend) from wrong
                cut = row.run_id
                again = partial(move, self.lease, row, StepState.RUNNING, run_id=f"{row.run_id}r", boot_id="")
                await write(again)
                # Its log is stored; a secret may have been printed there.
                with suppress(SSHFailure):
                    await runs.discard(self.pool, endpoint, cut)
        source = f"run:{row.run_id}"
        log = await on_db_until_done(reading.tail, source)
        row.exit_status, row.log_sha256, row.log_length = (
            finished.exit_status,
            finished.log_sha256,
            finished.log_bytes,
        )
        if self.mask:
            # Not the machine's own: with it a secret that the log there holds could be guessed and checked.
            row.log_sha256, row.log_length = await on_db_until_done(reading.measure, source)
        if stopped:
            raise CancelRequested
        return self.kind.judge(step, finished.exit_status, log)

    async def _start(self, row: JobStep, action: RunCommand, endpoint: Endpoint) -> None:
        """Start it, or find it started. The boot id is noted in between: without it, nothing was started."""
        if not row.boot_id:
            if self.stop.is_set():
                raise CancelRequested
            prepare = partial(runs.prepare, self.pool, endpoint, row.run_id, action.command)
            boot_id = await self.patiently(row, prepare)
            await write(move, self.lease, row, StepState.RUNNING, boot_id=boot_id)
        if self.stop.is_set():
            look = partial(runs.inspect, self.pool, endpoint, row.run_id)
            there = await self.patiently(row, look, detached=True)
            if not there.started:
                raise CancelRequested
        secrets = pick(self.secrets, action.secrets)
        start = partial(runs.start, self.pool, endpoint, row.run_id, row.boot_id, secrets=secrets)
        await self.patiently(row, start, detached=True)

    async def _follow(self, row: JobStep, action: RunCommand, endpoint: Endpoint) -> tuple[Finished, bool]:
        """How it ended, and whether that is because it was stopped."""
        source = f"run:{row.run_id}"

        async def on_chunk(offset: int, data: bytes) -> None:
            await write(logbook.append, self.lease, row, source, offset, data)

        async def on_link(up: bool) -> None:
            await write(move, self.lease, row, StepState.RUNNING if up else StepState.UNREACHABLE)

        masked = MaskedStream(self.mask, on_chunk)
        following = asyncio.create_task(
            follow(
                self.pool,
                endpoint,
                row.run_id,
                after=await on_db_until_done(reading.stored, source),
                on_chunk=masked.take,
                on_link=on_link,
                patience=settings.LINK_PATIENCE_SECONDS,
            )
        )
        stopping = asyncio.create_task(self.stop.wait())
        try:
            seconds = await steptime.left(row, action.timeout_s)
            await asyncio.wait({following, stopping}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            late = not following.done() and not stopping.done() and not await self._has_ended(row, endpoint)
            if not late:
                # What ended in time is not stopped for a log that takes longer to arrive.
                await asyncio.wait({following, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopped = False
            while not following.done():
                if not stopped and await self._has_ended(row, endpoint):
                    # It is done, and not cut off: only its log has still to arrive.
                    await asyncio.wait({following})
                    break
                stopped = True
                # More than once: a command that has only just been started may not have had a process to signal.
                cancel = partial(runs.cancel, self.pool, endpoint, row.run_id)
                await self.patiently(row, cancel, detached=True)
                await asyncio.wait({following}, timeout=CANCEL_AGAIN_SECONDS)
            finished = await following
            await masked.flush()
            if late:
                raise steptime.too_late(endpoint.name, row, action.timeout_s)
            return finished, stopped
        except (MachineRebooted, RunLost):
            await masked.flush()
            raise
        finally:
            for task in (following, stopping):
                task.cancel()

    async def _has_ended(self, row: JobStep, endpoint: Endpoint) -> bool:
        look = partial(runs.inspect, self.pool, endpoint, row.run_id)
        return (await self.patiently(row, look, detached=True)).exit_status is not None

    async def _wipe(self, row: JobStep, action: RunCommand, endpoint: Endpoint) -> None:
        """Secrets that the run could not remove itself."""
        if action.secrets:
            # That it was lost is what is told, also where the machine is out of reach again.
            with suppress(SSHFailure):
                await runs.wipe_secrets(self.pool, endpoint, row.run_id)

    async def send(self, row: JobStep, step: Step, action: SendArtifact, endpoint: Endpoint) -> dict[str, Any]:
        """Copy a blob; one that is there already is not sent again."""
        blob = blob_path(action.sha256)
        if not blob.exists():
            raise JobFailed(
                "artifact-missing", f"The depot no longer has the bytes of {action.name}.", "Ingest the file again."
            )
        began = time.monotonic()
        done = [0]
        ticking = asyncio.create_task(self._tick(row, done, action.size))

        def progress(sent: int, total: int) -> None:
            done[0] = sent

        try:
            sent = await self.patiently(
                row,
                lambda: send(
                    self.pool,
                    endpoint,
                    blob,
                    action.destination,
                    sha256=action.sha256,
                    mode=action.mode,
                    progress=progress,
                ),
            )
        finally:
            ticking.cancel()
        return {
            "bytes": sent.bytes,
            "resumed_from": sent.resumed_from,
            "already_there": sent.already_there,
            "seconds": round(time.monotonic() - began, 3),
        }

    async def _tick(self, row: JobStep, done: list[int], total: int) -> None:
        """Tell once a second how far a transfer is; a failure to tell is no failure of the transfer."""
        while True:
            await asyncio.sleep(1)
            with suppress(Error, LeaseLost):
                await on_db(note_progress, self.lease, row, done[0] / max(total, 1))

    async def fetch(self, row: JobStep, action: FetchArtifact, endpoint: Endpoint) -> dict[str, Any]:
        """Bring a file of the machine into the depot."""
        async with work_folder(row.run_id, self.lease.attempt, {}) as folder:
            product = replace(action.product, file=Path(action.product.file).name)
            await self.patiently(row, lambda: fetch(self.pool, endpoint, action.product.file, folder / product.file))
            return {"artifacts": await on_db_until_done(keep, self.lease.job_id, folder, [product])}

    async def patiently(self, row: JobStep, attempt: Callable[[], Awaitable[T]], *, detached: bool = False) -> T:
        """Try again while the link is cut: as long as the site's patience if it was up before, else a moment only.

        A command that gives no answer may be a link that swallows what is sent. ``detached``: the attempt deals with a
        run, which a stop must not leave alone once it may have begun.
        """
        began: float | None = None
        pause = 0.5
        while True:
            try:
                result = await attempt()
            except (LinkLost, Unreachable, CommandTimeout) as wrong:
                now = time.monotonic()
                began = now if began is None else began
                if not isinstance(wrong, Unreachable):
                    self.reached.add(row.machine_id)
                was_up = row.machine_id in self.reached
                if now - began > (settings.LINK_PATIENCE_SECONDS if was_up else FIRST_CONTACT_SECONDS):
                    raise
                if self.stop.is_set() and not (detached and was_up):
                    raise CancelRequested from wrong
                await write(move, self.lease, row, StepState.UNREACHABLE)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 10)
                continue
            self.reached.add(row.machine_id)
            if began is not None:
                await write(move, self.lease, row, StepState.RUNNING)
            return result

    async def request(self, row: JobStep, step: Step, action: Request, endpoint: Endpoint) -> dict[str, Any]:
        """Ask until the answer is 200 and as expected."""
        body = json.dumps(action.body).encode() if action.body is not None else b""
        deadline = time.monotonic() + action.within_s
        last = "no answer"
        while True:
            asked = time.monotonic()
            try:
                status, answer = await http_request(
                    self.pool,
                    endpoint,
                    action.method,
                    action.port,
                    action.path,
                    body=body,
                    headers={"content-type": "application/json"},
                )
                last = f"status {status}"
                said = json.loads(answer) if answer else {}
                wrong = [f"{path} is {value!r}" for path, value in _differs(said, action.expect)]
                if status == 200 and not wrong:
                    return {"status": status, "answer": said}
                last = ", ".join([last, *wrong])
            except SSHFailure as failure:
                last = str(failure)
                if await self._was_cut(row, endpoint) or isinstance(failure, LinkLost):
                    # The service is not to blame, and its time does not run meanwhile.
                    deadline += time.monotonic() - asked
            except ValueError:
                last = "the answer is no JSON"
            if time.monotonic() > deadline or self.stop.is_set():
                what = f"{action.method} {action.path} on port {action.port}"
                raise JobFailed(
                    "gate-failed",
                    f"{endpoint.name}: {what} was not right in time: {last}.",
                    "Look at the log of the service on the machine.",
                )
            await asyncio.sleep(0.5)

    async def _was_cut(self, row: JobStep, endpoint: Endpoint) -> bool:
        """Whether the machine itself gave no answer; returns when it does."""
        asked = 0

        async def answers() -> None:
            nonlocal asked
            asked += 1
            try:
                await execute(self.pool, endpoint, "true", timeout=ANSWER_SECONDS)
            except CommandTimeout:
                # The link swallows what is sent.
                self.pool.forget(endpoint)
                raise

        await self.patiently(row, answers)
        return asked > 1

    async def log_in(self, row: JobStep, action: LogIn) -> dict[str, Any]:
        """Prove another credential."""
        return await self.patiently(row, partial(prove, self.pool, row.machine_id or 0, action))

    async def facts(self, row: JobStep, expect: dict[str, Any]) -> dict[str, Any]:
        """Probe, store the facts, hold them against what is expected."""
        assert row.machine is not None
        machine = row.machine
        facts = await self.patiently(row, lambda: probe(self.pool, machine))
        return hold(machine.name, facts, expect)


def _differs(said: Any, expect: dict[str, Any]) -> list[tuple[str, Any]]:
    found = []
    for path, wanted in expect.items():
        value = said
        for part in path.split("."):
            if isinstance(value, list) and part.isdigit() and int(part) < len(value):
                value = value[int(part)]
            else:
                value = value.get(part) if isinstance(value, dict) else None
        if value != wanted:
            found.append((path, value))
    return found
