"""Carrying a job out: its stages in turn, the lanes of a stage side by side, checkpointed step by step."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from functools import partial
from itertools import groupby
from typing import Any, TypeVar

from hardware.database import is_away, on_db_until_done
from hardware.ssh import runs
from hardware.ssh.errors import SSHFailure
from hardware.ssh.pool import Pool
from jobs import registry
from jobs.actions import Actions
from jobs.checkpoints import end, move
from jobs.failures import CancelRequested, Interrupted, JobFailed, LeaseLost
from jobs.kind import Kind
from jobs.leases import Lease, claim, renew
from jobs.models import Job, JobStep
from jobs.plan import FetchArtifact, LocalCommand, ReadFacts, Reboot, Request, RunCommand, SendArtifact, Step
from jobs.states import DONE_STEPS, JobState, StepState

# Machines of one stage that are worked on at a time; the others wait their turn.
LANES = 50
BEAT_SECONDS = 2
# Commands on the console itself take all the processors they can get.
LOCAL_COMMANDS = 1

T = TypeVar("T")


class Runner:
    """Takes jobs for one worker process. ``owner`` names it in leases."""

    def __init__(self, pool: Pool, owner: str) -> None:
        self.pool = pool
        self.owner = owner
        self.turns = asyncio.Semaphore(LOCAL_COMMANDS)

    async def run(self, job_id: int) -> bool:
        """Carry a job out from its first undone step; ``False`` when somebody else has it."""
        lease = await on_db_until_done(claim, job_id, self.owner)
        if lease is None:
            return False
        stop = asyncio.Event()
        work = asyncio.create_task(self._work(lease, stop))
        beat = asyncio.create_task(self._beat(lease, stop, work))
        try:
            await work
        except (LeaseLost, asyncio.CancelledError):
            return False
        finally:
            beat.cancel()
        return True

    async def _beat(self, lease: Lease, stop: asyncio.Event, work: asyncio.Task[None]) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            try:
                if await on_db_until_done(renew, lease):
                    stop.set()
            except LeaseLost:
                work.cancel()
                return

    async def _work(self, lease: Lease, stop: asyncio.Event) -> None:
        try:
            failure = await self._stages(lease, stop)
        except LeaseLost:
            raise
        except Exception as wrong:
            if is_away(wrong):
                # No fault of the console's: whoever takes the job next goes on from here.
                raise
            await on_db_until_done(
                end,
                lease,
                JobState.ERRORED,
                JobFailed("console-bug", "The console itself is at fault.", "Give the job's number to its makers."),
                traceback.format_exc(),
            )
            return
        if stop.is_set():
            await on_db_until_done(end, lease, JobState.CANCELLED, failure)
        elif isinstance(failure, Interrupted):
            await on_db_until_done(end, lease, JobState.INTERRUPTED, failure)
        elif failure is not None:
            await on_db_until_done(end, lease, JobState.FAILED, failure)
        else:
            await on_db_until_done(_succeed, lease)

    async def _stages(self, lease: Lease, stop: asyncio.Event) -> JobFailed | None:
        job, steps = await on_db_until_done(_load, lease.job_id)
        if job.state == JobState.CANCELLING:
            stop.set()
        actions = Actions(self.pool, lease, registry.get(job.kind), stop, self.turns)
        turns = asyncio.Semaphore(LANES)
        for _, stage in groupby(steps, key=lambda step: step.stage):
            lanes = [list(lane) for _, lane in groupby(stage, key=lambda step: step.lane)]
            failures = await _together([self._lane(lease, actions, lane, turns) for lane in lanes])
            failed = [failure for failure in failures if failure is not None]
            if failed or stop.is_set():
                return failed[0] if failed else None
        return None

    async def _lane(
        self, lease: Lease, actions: Actions, steps: Sequence[JobStep], turns: asyncio.Semaphore
    ) -> JobFailed | None:
        async with turns:
            failure = await self._steps(lease, actions, [step for step in steps if not step.compensates])
            if failure is not None:
                await self._steps(lease, actions, [step for step in steps if step.compensates])
            return failure

    async def _steps(self, lease: Lease, actions: Actions, steps: Sequence[JobStep]) -> JobFailed | None:
        results: dict[str, Any] = {}
        for row in steps:
            if row.state in DONE_STEPS:
                results[row.key] = row.result
                actions.reached.add(row.machine_id)
                continue
            if row.state in (StepState.FAILED, StepState.INTERRUPTED):
                how = Interrupted if row.state == StepState.INTERRUPTED else JobFailed
                return how(row.failure["code"], row.failure["cause"], row.failure["mend"])
            # A step that was under way when its worker died is stopped like one of our own.
            resumed = row.state in (StepState.RUNNING, StepState.UNREACHABLE)
            if row.state == StepState.CANCELLED or (actions.stop.is_set() and not resumed):
                return None
            if resumed:
                actions.reached.add(row.machine_id)
            try:
                await on_db_until_done(move, lease, row, StepState.RUNNING)
                result = await self._act(actions, row, results)
            except CancelRequested:
                await on_db_until_done(move, lease, row, StepState.CANCELLED, **_end_of_run(row))
                return None
            except (JobFailed, SSHFailure) as wrong:
                failure = wrong if isinstance(wrong, JobFailed) else JobFailed(wrong.code, str(wrong), wrong.mend)
                state = StepState.INTERRUPTED if isinstance(wrong, Interrupted) else StepState.FAILED
                said = {"code": failure.code, "cause": failure.cause, "mend": failure.mend}
                await on_db_until_done(move, lease, row, state, failure=said, **_end_of_run(row))
                return failure
            state = StepState.SKIPPED if result.get("skipped") else StepState.SUCCEEDED
            then = partial(_tell_kind, actions.kind, row)
            await on_db_until_done(move, lease, row, state, then=then, result=result, **_end_of_run(row))
            results[row.key] = result
            if row.action["type"] == "run" and row.machine is not None:
                # Its log and its end are stored; a folder that can't be removed now does no harm.
                with suppress(SSHFailure):
                    await runs.discard(actions.pool, await on_db_until_done(row.machine.endpoint), row.run_id)
        return None

    async def _act(self, actions: Actions, row: JobStep, results: dict[str, Any]) -> dict[str, Any]:
        step = _step(row)
        if isinstance(step.action, LocalCommand):
            return await actions.local(row, step, step.action)
        assert row.machine is not None, "only a command line has no machine"
        endpoint = await on_db_until_done(row.machine.endpoint)
        match step.action:
            case FetchArtifact():
                return await actions.fetch(row, step.action, endpoint)
            case RunCommand():
                return await actions.run(row, step, step.action, endpoint)
            case SendArtifact():
                return await actions.send(row, step, step.action, endpoint)
            case Reboot():
                return await actions.reboot(row, step, step.action, endpoint, results)
            case Request():
                return await actions.request(row, step, step.action, endpoint)
            case ReadFacts():
                return await actions.facts(row, step.action.expect)


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


def _succeed(lease: Lease) -> None:
    job = Job.objects.get(pk=lease.job_id)
    results = [step.result for step in job.steps.filter(compensates=False).order_by("stage", "lane", "position")]
    end(lease, JobState.SUCCEEDED, result=registry.get(job.kind).summarize(results))


def _load(job_id: int) -> tuple[Job, list[JobStep]]:
    job = Job.objects.get(pk=job_id)
    steps = JobStep.objects.filter(job=job).select_related("machine__credential", "job")
    return job, list(steps.order_by("stage", "lane", "compensates", "position"))
