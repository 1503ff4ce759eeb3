"""How each action of a plan is done on a machine. Each may be called again after a worker died in its midst."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
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
from hardware.ssh.errors import CommandTimeout, LinkLost, MachineRebooted, SSHFailure, Unreachable
from hardware.ssh.follow import Finished, follow
from hardware.ssh.pool import Pool
from hardware.ssh.transfer import fetch, send
from hardware.ssh.tunnel import http_request
from jobs import logbook
from jobs.checkpoints import move, note_progress
from jobs.depot.models import blob_path
from jobs.failures import CancelRequested, Interrupted, JobFailed, LeaseLost
from jobs.kind import Kind
from jobs.leases import Lease
from jobs.local import execute_locally, report_of, work_folder
from jobs.models import JobStep
from jobs.plan import FetchArtifact, LocalCommand, Reboot, Request, RunCommand, SendArtifact, Step
from jobs.products import keep
from jobs.states import StepState

BOOT_ID = "cat /proc/sys/kernel/random/boot_id"
# A machine that never answered is given up sooner than one whose link was cut.
FIRST_CONTACT_SECONDS = 5
ASK_AGAIN_SECONDS = 60
CANCEL_AGAIN_SECONDS = 2
# The shortest command there is takes no longer, however busy the machine.
ANSWER_SECONDS = 10
# How much of a command line's output is searched for its report.
REPORT_BYTES = 4 << 20

T = TypeVar("T")


class Actions:
    """The actions of one job's steps. ``stop`` is set when the job was asked to stop."""

    def __init__(self, pool: Pool, lease: Lease, kind: Kind, stop: asyncio.Event, turns: asyncio.Semaphore) -> None:
        """``turns`` lets few commands at a time run on the console itself."""
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
            await on_db_until_done(logbook.append, self.lease, row, source, offset, data)

        async with self.turns, work_folder(row.run_id, action.inputs) as folder:
            status, late = await execute_locally(action.arguments, folder, on_chunk, self.stop, action.timeout_s)
            log = await on_db_until_done(logbook.tail, source, REPORT_BYTES)
            row.exit_status, row.log_sha256 = status, await on_db_until_done(logbook.sha256, source)
            if self.stop.is_set():
                raise CancelRequested
            if late:
                raise _too_late("the console", row.title, action.timeout_s)
            result = await asyncio.to_thread(self.kind.judge, step, status, log)
            report = report_of(log)
            made = await on_db_until_done(keep, self.lease.job_id, folder, action.products)
            return {**result, "report": report, "artifacts": made}

    async def run(self, row: JobStep, step: Step, action: RunCommand, endpoint: Endpoint) -> dict[str, Any]:
        """Start or attach to the run, store its log, judge its end."""
        while True:
            # A run that is known to have been started is only ever followed: its folder may have been removed since.
            if not row.boot_id:
                await self._start(row, action, endpoint)
            try:
                finished = await self._follow(row, action, endpoint)
                break
            except MachineRebooted as wrong:
                if not action.repeatable:
                    raise Interrupted(wrong.code, str(wrong), wrong.mend) from wrong
                again = partial(move, self.lease, row, StepState.RUNNING, run_id=f"{row.run_id}r", boot_id="")
                await on_db_until_done(again)
        source = f"run:{row.run_id}"
        log = await on_db_until_done(logbook.tail, source)
        row.exit_status, row.log_sha256 = finished.exit_status, finished.log_sha256
        if self.stop.is_set():
            raise CancelRequested
        return self.kind.judge(step, finished.exit_status, log)

    async def _start(self, row: JobStep, action: RunCommand, endpoint: Endpoint) -> None:
        if self.stop.is_set():
            look = partial(runs.inspect, self.pool, endpoint, row.run_id)
            there = await self._patiently(row, look, detached=True)
            if not there.started:
                raise CancelRequested
        start = partial(runs.start, self.pool, endpoint, row.run_id, action.command)
        started = await self._patiently(row, start, detached=True)
        await on_db_until_done(move, self.lease, row, StepState.RUNNING, boot_id=started.boot_id)

    async def _follow(self, row: JobStep, action: RunCommand, endpoint: Endpoint) -> Finished:
        source = f"run:{row.run_id}"

        async def on_chunk(offset: int, data: bytes) -> None:
            await on_db_until_done(logbook.append, self.lease, row, source, offset, data)

        async def on_link(up: bool) -> None:
            await on_db_until_done(move, self.lease, row, StepState.RUNNING if up else StepState.UNREACHABLE)

        following = asyncio.create_task(
            follow(
                self.pool,
                endpoint,
                row.run_id,
                after=await on_db_until_done(logbook.stored, source),
                on_chunk=on_chunk,
                on_link=on_link,
                patience=settings.LINK_PATIENCE_SECONDS,
            )
        )
        stopping = asyncio.create_task(self.stop.wait())
        try:
            await asyncio.wait({following, stopping}, timeout=action.timeout_s, return_when=asyncio.FIRST_COMPLETED)
            late = not following.done() and not stopping.done()
            while not following.done():
                # More than once: a command that has only just been started may not have had a process to signal.
                cancel = partial(runs.cancel, self.pool, endpoint, row.run_id)
                await self._patiently(row, cancel, detached=True)
                await asyncio.wait({following}, timeout=CANCEL_AGAIN_SECONDS)
            finished = await following
            if late:
                raise _too_late(endpoint.name, row.title, action.timeout_s)
            return finished
        finally:
            for task in (following, stopping):
                task.cancel()

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
            sent = await self._patiently(
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
        async with work_folder(row.run_id, {}) as folder:
            product = replace(action.product, file=Path(action.product.file).name)
            await self._patiently(row, lambda: fetch(self.pool, endpoint, action.product.file, folder / product.file))
            return {"artifacts": await on_db_until_done(keep, self.lease.job_id, folder, [product])}

    async def _patiently(self, row: JobStep, attempt: Callable[[], Awaitable[T]], *, detached: bool = False) -> T:
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
                await on_db_until_done(move, self.lease, row, StepState.UNREACHABLE)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 10)
                continue
            self.reached.add(row.machine_id)
            if began is not None:
                await on_db_until_done(move, self.lease, row, StepState.RUNNING)
            return result

    async def reboot(
        self, row: JobStep, step: Step, action: Reboot, endpoint: Endpoint, results: dict[str, Any]
    ) -> dict[str, Any]:
        """Restart once: the boot id from before is stored first, so that a second worker sees whether it happened."""
        if action.only_if and not any(result.get(action.only_if) for result in results.values()):
            return {"skipped": True}
        if not row.boot_id:
            before = (await self._patiently(row, lambda: execute(self.pool, endpoint, BOOT_ID))).stdout.strip()
            await on_db_until_done(move, self.lease, row, StepState.RUNNING, boot_id=before)
        deadline = time.monotonic() + action.timeout_s
        asked: float | None = None
        while time.monotonic() < deadline:
            with suppress(SSHFailure):
                now = (await execute(self.pool, endpoint, BOOT_ID, timeout=10)).stdout.strip()
                if now and now != row.boot_id:
                    return {"boot_id": now}
                # Still the boot from before: asking again can't restart it twice, whoever asked first.
                if asked is None or time.monotonic() - asked > ASK_AGAIN_SECONDS:
                    asked = time.monotonic()
                    await execute(self.pool, endpoint, action.command)
            await asyncio.sleep(1)
        raise JobFailed(
            "reboot-timeout",
            f"{endpoint.name} did not come back within {action.timeout_s} s of its restart.",
            "Look at the machine's console or its BMC.",
        )

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

        await self._patiently(row, answers)
        return asked > 1

    async def facts(self, row: JobStep, expect: dict[str, Any]) -> dict[str, Any]:
        """Probe, store the facts, hold them against what is expected."""
        assert row.machine is not None
        machine = row.machine
        facts = await self._patiently(row, lambda: probe(self.pool, machine))
        healthy = [npu for npu in facts.npus if npu.health == "OK"]
        if "npus" in expect and len(healthy) != expect["npus"]:
            raise JobFailed(
                "npus-missing",
                f"{machine.name}: npu-smi lists {len(healthy)} healthy NPUs, not {expect['npus']}"
                f" ({facts.npu_error or 'no error given'}).",
                "Look at the installer's log; restart the machine if it has not been restarted since.",
            )
        found = facts.cann.version if facts.cann else None
        if "cann" in expect and found != expect["cann"]:
            raise JobFailed(
                "cann-missing",
                f"{machine.name}: CANN {expect['cann']} was to be there, the machine has {found or 'none'}.",
                "Read the installer's log.",
            )
        return {"npus": len(facts.npus), "driver": facts.driver.version if facts.driver else None, "cann": found}


def _too_late(where: str, title: str, seconds: float) -> JobFailed:
    return JobFailed(
        "command-timeout",
        f"{where}: {title} was stopped: it took longer than the {seconds} s it may.",
        "See in its log what it waited for, then run the job again.",
    )


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
