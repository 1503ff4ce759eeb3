"""Taking jobs and carrying them out under a lease that is kept alive meanwhile."""

from __future__ import annotations

import asyncio
import logging
import traceback
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from hardware.database import is_away, on_db_until_done
from hardware.inventory.models import Machine
from hardware.ssh.pool import Pool
from hardware.statements import Prepared
from hardware.writing import write
from jobs import registry
from jobs.actions.actions import Actions
from jobs.approvals.models import Approval
from jobs.approvals.services import still_holds
from jobs.engine.checkpoints import end, pause
from jobs.engine.course import BUG, Course, Wishes
from jobs.engine.leases import ONE, Lease, claim, renew
from jobs.failures import Interrupted, JobFailed, LeaseLost
from jobs.logs.packing import NO_LOG, closing
from jobs.models import Job, JobStep
from jobs.options import Options
from jobs.pipelines.deferral import settle
from jobs.secrets.services import masked
from jobs.secrets.services import of as secrets_of
from jobs.states import DONE_STEPS, JobState

log = logging.getLogger(__name__)

BEAT_SECONDS = 2
# Commands on the console itself take all the processors they can get.
LOCAL_COMMANDS = 1
_STEPS = Prepared(
    JobStep,
    lambda steps, job_id: steps.filter(job=job_id).order_by("stage", "lane", "compensates", "position"),
    int,
)
_APPROVAL = Prepared(Approval, lambda approvals, job_id: approvals.filter(job=job_id), int)


@dataclass
class _Held:
    """A job that this worker has. ``leaving``: it is about to let go of it, and not because somebody took it away."""

    lease: Lease
    leaving: bool = False
    wishes: Wishes = field(default_factory=Wishes)
    work: asyncio.Task[None] | None = None


class Runner:
    """Takes jobs for one worker process. ``owner`` names it in leases."""

    def __init__(self, pool: Pool, owner: str) -> None:
        self.pool = pool
        self.owner = owner
        self.turns = asyncio.Semaphore(LOCAL_COMMANDS)
        self._held: dict[int, _Held] = {}
        self._beat: asyncio.Task[None] | None = None

    async def run(self, job_id: int) -> bool:
        """Carry a job out from its first undone step; ``False`` when somebody else has it."""
        taken = await write(_take, job_id, self.owner)
        if taken is None and await on_db_until_done(settle, job_id):
            # It came after other jobs and has its plan only now.
            taken = await write(_take, job_id, self.owner)
        if taken is None:
            return False
        held = _Held(taken[0])
        held.work = asyncio.create_task(self._work(held, *taken[1:]))
        self._held[job_id] = held
        if self._beat is None or self._beat.done():
            self._beat = asyncio.create_task(self._keep_leases())
        try:
            await held.work
        except (LeaseLost, asyncio.CancelledError):
            return False
        finally:
            self._held.pop(job_id)
        return True

    async def _keep_leases(self) -> None:
        """One beat for all jobs of this worker: two thousand that wait cost a few statements, not thousands."""
        while self._held:
            await asyncio.sleep(BEAT_SECONDS)
            asked = [held.lease for held in self._held.values()]
            try:
                kept = await write(renew, self.owner, asked)
            except Exception:
                log.exception("the leases could not be renewed")
                continue
            for lease in asked:
                held = self._held.get(lease.job_id)
                if held is None or held.lease != lease:
                    continue
                if lease.job_id in kept:
                    _heed(held.wishes, *kept[lease.job_id])
                elif held.work is not None and not held.leaving:
                    held.work.cancel()

    async def _work(self, held: _Held, job: Job, steps: list[JobStep], secrets: dict[str, str]) -> None:
        lease, wishes = held.lease, held.wishes
        try:
            while True:
                _heed(wishes, JobState(job.state), await _is_late(job))
                unbegun = all(step.started_at is None for step in steps)
                if unbegun and hasattr(job, "approval") and not await on_db_until_done(still_holds, lease, job):
                    return
                actions = Actions(self.pool, lease, registry.get(job.kind), wishes.stop, self.turns, secrets)
                course = Course(lease, actions, wishes, job)
                await course.run(steps)
                if course.bug is not None:
                    raise course.bug
                if not course.paused or course.enough:
                    break
                held.leaving = True
                if await write(pause, lease, sorted(course.paused)):
                    return
                held.leaving = False
                job, steps, secrets = await on_db_until_done(_load, lease.job_id)
        except LeaseLost:
            raise
        except Exception as wrong:
            if is_away(wrong):
                # No fault of the console's: whoever takes the job next goes on from here.
                raise
            said = await on_db_until_done(masked, lease.job_id, traceback.format_exc())
            await _end(held, steps, JobState.ERRORED, BUG, traceback=said)
            return
        failure = course.failure()
        whole = all(step.state in DONE_STEPS for step in steps if not step.compensates)
        if whole:
            results = [step.result for step in steps if not step.compensates]
            await _end(held, steps, JobState.SUCCEEDED, result=registry.get(job.kind).summarize(results))
        elif wishes.late:
            await _end(held, steps, JobState.FAILED, _too_late(job))
        elif wishes.stop.is_set():
            await _end(held, steps, JobState.CANCELLED, failure)
        else:
            how = JobState.INTERRUPTED if isinstance(failure, Interrupted) else JobState.FAILED
            await _end(held, steps, how, failure)


async def _end(
    held: _Held, steps: list[JobStep], state: JobState, failure: JobFailed | None = None, **values: Any
) -> None:
    # Read and hashed before the transaction, which nobody else can write beside.
    log = await on_db_until_done(closing, held.lease.job_id) if steps else NO_LOG
    held.leaving = True
    await write(end, held.lease, state, failure, log=log, **values)


def _heed(wishes: Wishes, state: JobState, late: bool) -> None:
    if late or state == JobState.CANCELLING:
        wishes.late = wishes.late or (late and not wishes.stop.is_set())
        wishes.stop.set()
    (wishes.pause.set if state == JobState.PAUSING else wishes.pause.clear)()


def _too_late(job: Job) -> JobFailed:
    return JobFailed(
        "job-timeout",
        f"The job was stopped: it took longer than the {Options.from_json(job.options).timeout_s} s it may.",
        "See which step took so long, then run the job again on the machines that are not done.",
    )


async def _is_late(job: Job) -> bool:
    if job.deadline is None:
        return False
    return await on_db_until_done(Job.objects.filter(pk=job.pk, deadline__lt=Now()).exists)


def _take(job_id: int, owner: str) -> tuple[Lease, Job, list[JobStep], dict[str, str]] | None:
    """Claim the job, and read it before the transaction ends; ``None`` when there is nothing to take."""
    with transaction.atomic(savepoint=False):
        claimed = claim(job_id, owner)
        return None if claimed is None else (claimed[0], *_parts(claimed[1]))


def _load(job_id: int) -> tuple[Job, list[JobStep], dict[str, str]]:
    return _parts(ONE.objects(job_id)[0])


def _parts(job: Job) -> tuple[Job, list[JobStep], dict[str, str]]:
    """The job, its steps in their order, its secrets. What steps share is read once: a job may have thousands."""
    job_id = job.pk
    approvals = _APPROVAL.objects(job_id)
    Job._meta.get_field("approval").set_cached_value(job, approvals[0] if approvals else None)
    steps = _STEPS.objects(job_id)
    on = {step.machine_id for step in steps if step.machine_id is not None}
    machines = Machine.objects.select_related("credential", "jump__credential").in_bulk(on) if on else {}
    for step in steps:
        step.job = job
        step.machine = machines[step.machine_id] if step.machine_id is not None else None
    secrets = secrets_of(job_id) if any(step.action.get("secrets") for step in steps) else {}
    return job, steps, secrets
