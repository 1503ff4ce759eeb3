"""The course of one job under one lease: its stages in turn, the lanes of a stage side by side, step by step."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any, TypeVar

from hardware.database import is_away, on_db_until_done
from hardware.ssh import runs
from hardware.ssh.errors import SSHFailure
from hardware.writing import write
from jobs.actions.actions import Actions
from jobs.actions.fans import hold_fans
from jobs.actions.restart import restart
from jobs.actions.stored import recall
from jobs.actions.watching import watch
from jobs.engine import steptime
from jobs.engine.checkpoints import begin, move
from jobs.engine.leases import Lease
from jobs.failures import CancelRequested, Interrupted, JobFailed, LeaseLost
from jobs.kind import Kind
from jobs.models import Job, JobStep
from jobs.options import Options
from jobs.plan import (
    FetchArtifact,
    HoldFans,
    LocalCommand,
    LogIn,
    ReadFacts,
    Reboot,
    Recall,
    Request,
    RunCommand,
    SendArtifact,
    Step,
    Watch,
)
from jobs.states import DONE_STEPS, StepState

T = TypeVar("T")

BUG = JobFailed("console-bug", "The console itself is at fault.", "Give the job's number to its makers.")


@dataclass
class Wishes:
    """What people and the clock ask of a job under way. ``late``: its time is over, so it is to stop."""

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    pause: asyncio.Event = field(default_factory=asyncio.Event)
    late: bool = False


class Course:
    """``failures`` by machine (``None``: the console's own lane), ``paused`` the keys of the steps it stands before;
    ``bug`` a fault of the console's own, for which everything was stopped."""

    def __init__(self, lease: Lease, actions: Actions, wishes: Wishes, job: Job) -> None:
        self.lease = lease
        self.actions = actions
        self.wishes = wishes
        self.tolerate = int(job.plan.get("tolerate", 0))
        self.turns = asyncio.Semaphore(Options.from_json(job.options).parallel)
        self.failures: dict[str | None, JobFailed] = {}
        self.paused: set[str] = set()
        self.bug: Exception | None = None

    async def run(self, steps: Sequence[JobStep]) -> None:
        """Carry out what is undone; returns when there is no more to do, or no more that may be begun."""
        for _, stage in groupby(steps, key=lambda step: step.stage):
            lanes = [list(lane) for _, lane in groupby(stage, key=lambda step: step.lane)]
            await _together([self._lane(lane) for lane in lanes])
            if self.paused or self.enough:
                return

    def failure(self) -> JobFailed | None:
        """What the job says of the machines that failed: the one's own words, or how many and those of the first."""
        failures = list(self.failures.values())
        if len(failures) < 2:
            return failures[0] if failures else None
        first = failures[0]
        how = Interrupted if all(isinstance(failure, Interrupted) for failure in failures) else JobFailed
        code = first.code if len({failure.code for failure in failures}) == 1 else "machines-failed"
        return how(code, f"{len(failures)} machines failed. The first: {first.cause}", first.mend)

    @property
    def enough(self) -> bool:
        """Nothing more is to be begun: it was asked to stop, or more machines failed than the plan tolerates."""
        return self.wishes.stop.is_set() or len(self.failures) > self.tolerate

    async def _lane(self, steps: Sequence[JobStep]) -> None:
        machine = steps[0].machine.name if steps[0].machine else None
        forward = [step for step in steps if not step.compensates]
        async with self.turns:
            # Those that failed in an earlier stage take no part in this one.
            if machine in self.failures:
                return
            untouched = all(step.state == StepState.PENDING for step in forward)
            if untouched and self.enough:
                return
            try:
                failure = await self._steps(forward)
            except LeaseLost:
                raise
            except Exception as wrong:
                if is_away(wrong):
                    raise
                await self._stop_for(wrong, forward)
                return
            if failure is not None:
                self.failures[machine] = failure
                if any(step.started_at is not None and step.action["type"] != "facts" for step in forward):
                    await self._steps([step for step in steps if step.compensates])

    async def _stop_for(self, wrong: Exception, steps: Sequence[JobStep]) -> None:
        """A fault of the console's own: whatever runs is stopped, here and on the other machines. Their locks are free
        when the job is over, and nobody follows what was left running.
        """
        self.bug = self.bug or wrong
        self.wishes.stop.set()
        for row in steps:
            if row.state not in (StepState.RUNNING, StepState.UNREACHABLE):
                continue
            if row.action["type"] == "run" and row.boot_id:
                await _stop(self.actions, row)
            await write(move, self.lease, row, StepState.FAILED, failure=BUG.to_json(), **_end_of_run(row))

    async def _steps(self, steps: Sequence[JobStep]) -> JobFailed | None:
        lease, actions = self.lease, self.actions
        results: dict[str, Any] = {}
        for row in steps:
            over = row.state not in (StepState.PENDING, StepState.RUNNING, StepState.UNREACHABLE)
            if over and row.action.get("secrets") and row.boot_id and lease.attempt > 1:
                # Whoever ended it may have died before this.
                await _discard(actions, row)
            if row.state in DONE_STEPS:
                results[row.key] = row.result
                actions.reached.add(row.machine_id)
                continue
            if row.state in (StepState.FAILED, StepState.INTERRUPTED):
                how = Interrupted if row.state == StepState.INTERRUPTED else JobFailed
                return how(row.failure["code"], row.failure["cause"], row.failure["mend"])
            # A step that was under way when its worker died is stopped like one of our own.
            resumed = row.state in (StepState.RUNNING, StepState.UNREACHABLE)
            if row.state == StepState.CANCELLED or (self.wishes.stop.is_set() and not resumed):
                return None
            # What undoes a failed lane is not paused: the machine would be left between two states.
            if self.wishes.pause.is_set() and not resumed and not row.compensates:
                self.paused.add(row.key)
                return None
            if resumed:
                actions.reached.add(row.machine_id)
            try:
                if not await write(begin, lease, row):
                    self.paused.add(row.key)
                    return None
                result = actions.mask.data(await self._act(row, results))
            except CancelRequested:
                await write(move, lease, row, StepState.CANCELLED, **_end_of_run(row))
                if row.action.get("secrets"):
                    await _discard(actions, row)
                return None
            except (JobFailed, SSHFailure) as wrong:
                how = Interrupted if isinstance(wrong, Interrupted) else JobFailed
                failure = how(wrong.code, actions.mask.text(str(wrong)), actions.mask.text(wrong.mend))
                state = StepState.INTERRUPTED if isinstance(wrong, Interrupted) else StepState.FAILED
                await write(move, lease, row, state, failure=failure.to_json(), **_end_of_run(row))
                if row.action.get("secrets"):
                    await _discard(actions, row)
                return failure
            state = StepState.SKIPPED if result.get("skipped") else StepState.SUCCEEDED
            then = partial(_tell_kind, actions.kind, row)
            await write(move, lease, row, state, then=then, result=result, **_end_of_run(row))
            results[row.key] = result
            if row.action["type"] == "run":
                await _discard(actions, row)
        return None

    async def _act(self, row: JobStep, results: dict[str, Any]) -> dict[str, Any]:
        actions = self.actions
        step = _step(row)
        if isinstance(step.action, LocalCommand):
            return await actions.local(row, step, step.action)
        if isinstance(step.action, Recall):
            return await on_db_until_done(recall, step.action)
        assert row.machine is not None, "only what the console does itself has no machine"
        endpoint = await on_db_until_done(row.machine.endpoint)
        match step.action:
            case RunCommand():
                return await actions.run(row, step, step.action, endpoint)
            case HoldFans():
                # It minds its own time: stopped from outside it could not hand the fans back.
                return await hold_fans(actions, row, step.action, endpoint)
            case Reboot():
                return await restart(actions, row, step.action, endpoint, results)
            case FetchArtifact():
                work = actions.fetch(row, step.action, endpoint)
            case SendArtifact():
                work = actions.send(row, step, step.action, endpoint)
            case Request():
                work = actions.request(row, step, step.action, endpoint)
            case ReadFacts():
                work = actions.facts(row, step.action.expect)
            case LogIn():
                work = actions.log_in(row, step.action)
            case Watch():
                work = watch(self.lease, row, step.action, self.wishes.stop)
        return await steptime.within(row, endpoint.name, work)


async def _discard(actions: Actions, row: JobStep) -> None:
    """Remove a run's folder. Its log and its end are stored; a folder that can't be removed now does no harm.

    One in which a secret may have been printed is not left for a person to look at either.
    """
    assert row.machine is not None, "a run has a machine"
    with suppress(SSHFailure):
        await runs.discard(actions.pool, await on_db_until_done(row.machine.endpoint), row.run_id)


async def _stop(actions: Actions, row: JobStep) -> None:
    """Stop a run that is not over yet; no log with a secret in it stays. A machine out of reach keeps it."""
    assert row.machine is not None, "a run has a machine"
    with suppress(SSHFailure):
        endpoint = await on_db_until_done(row.machine.endpoint)
        if (await runs.inspect(actions.pool, endpoint, row.run_id)).exit_status is None:
            await runs.cancel(actions.pool, endpoint, row.run_id)
        if row.action.get("secrets"):
            await _discard(actions, row)


async def _together(lanes: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """All results; when one raises, the others are stopped before it is raised here."""
    tasks = [asyncio.create_task(lane) for lane in lanes]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _step(row: JobStep) -> Step:
    return Step.from_json({"key": row.key, "title": row.title, "action": row.action})


def _end_of_run(row: JobStep) -> dict[str, Any]:
    return {"exit_status": row.exit_status, "log_sha256": row.log_sha256}


def _tell_kind(kind: Kind, row: JobStep) -> None:
    kind.succeeded(_step(row), row.machine, row.job)
