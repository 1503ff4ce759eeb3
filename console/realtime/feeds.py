"""What a socket has yet to say, read from the store. A feed knows what it has said; it holds no frames.

The calls are synchronous: ``hardware.database.on_db`` runs them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from console.realtime.messages import FleetJobFrame, FleetMachineFrame, JobFrame, LogFrame, StepFrame
from hardware.inventory.models import Machine
from jobs import logbook
from jobs.models import Job, JobStep, LogChunk
from jobs.states import ENDED, HELD, UNSTARTED

# Bytes of log in one message: large enough to catch up fast, small enough for any client and for our memory.
BATCH_BYTES = 256 * 1024
BATCH_CHUNKS = 500


@dataclass
class Batch:
    """``more``: there is more to read now. ``whole``: the job has ended and all of its log was read."""

    frames: list[Any] = field(default_factory=list)
    more: bool = False
    whole: bool = False


class JobFeed:
    """A job's log from ``offset`` on, and its states whenever they differ from what was said last."""

    def __init__(self, job_id: int, offset: int) -> None:
        self.job_id = job_id
        self.offset = offset
        self._said_job: JobFrame | None = None
        # Step id -> hash of what was said of it: a job has thousands of steps, and a page stays open for hours.
        self._said_steps: dict[int, int] = {}

    def exists(self) -> bool:
        return Job.objects.filter(pk=self.job_id).exists()

    def read(self, states: bool = True) -> Batch:
        """What is new. ``states=False`` leaves the steps out, for a wake-up that tells of the log alone."""
        # The job before its log: what is appended afterwards is read the next time, and an ended job appends nothing.
        job = Job.objects.only("state", "attempt", "waits_for", "failure", "log_length").get(pk=self.job_id)
        batch = Batch()
        log = list(self._log(batch))
        if states or job.ended:
            # Steps read after the job: those of an ended job are final.
            batch.frames += self._steps()
        batch.frames += log
        now = JobFrame(
            type="job", job=job.pk, state=job.state, attempt=job.attempt, waits_for=job.waits_for_id,
            failure=job.failure,
        )  # fmt: skip
        if now != self._said_job:
            self._said_job = now
            batch.frames.append(now)
        batch.whole = job.ended and self.offset >= job.log_length
        return batch

    def _log(self, batch: Batch) -> Iterator[LogFrame]:
        size = 0
        for count, chunk in enumerate(self._chunks(), 1):
            if size and size + chunk.size > BATCH_BYTES:
                batch.more = True
                return
            skip = self.offset - chunk.position
            if skip > 0:
                # The client stands inside a chunk: it gets the rest of it.
                chunk.data = bytes(chunk.data)[skip:]
                chunk.position, chunk.size = self.offset, chunk.size - skip
            size += chunk.size
            self.offset = chunk.position + chunk.size
            batch.more = count == BATCH_CHUNKS
            yield LogFrame(type="log", **logbook.frame(chunk))  # type: ignore[typeddict-item]

    def _chunks(self) -> Iterator[LogChunk]:
        chunks = LogChunk.objects.filter(job=self.job_id)
        before = chunks.filter(position__lt=self.offset).order_by("-position").values_list("position", "size").first()
        start = before[0] if before and sum(before) > self.offset else self.offset
        return (
            chunks.filter(position__gte=start)
            .select_related("step__machine")
            .only("job_id", "position", "size", "data", "at", "step__key", "step__machine__name")
            .order_by("position")[:BATCH_CHUNKS]
            .iterator(16)
        )

    def _steps(self) -> Iterator[StepFrame]:
        rows = JobStep.objects.filter(job=self.job_id).values_list(
            "pk", "key", "state", "machine__name", "failure", "progress", "exit_status"
        )
        for row in rows:
            pk, key, state, machine, failure, progress, exit_status = row
            mark = hash(repr(row))
            if self._said_steps.get(pk) == mark:
                continue
            self._said_steps[pk] = mark
            yield StepFrame(
                type="step", step=pk, key=key, state=state, machine=machine, failure=failure, progress=progress,
                exit_status=exit_status,
            )  # fmt: skip


class FleetFeed:
    """States of machines and jobs whenever they differ from what was said last. Ended jobs are forgotten once said."""

    def __init__(self) -> None:
        self._machines: dict[str, tuple[Any, ...]] = {}
        self._jobs: dict[int, str] = {}

    def everything(self) -> list[Any]:
        """What differs anywhere: at the start all of it, later what a lost wake-up would have told."""
        open_jobs = Job.objects.filter(state__in=(*UNSTARTED, *HELD))
        missed = Job.objects.filter(pk__in=[*self._jobs]).filter(state__in=ENDED)
        return [*self._read_machines(Machine.objects.all()), *self._read_jobs([*_rows(open_jobs), *_rows(missed)])]

    def named(self, machines: Iterable[str], jobs: Iterable[int]) -> list[Any]:
        return [
            *self._read_machines(Machine.objects.filter(name__in=[*machines])),
            *self._read_jobs(_rows(Job.objects.filter(pk__in=[*jobs]))),
        ]

    def _read_machines(self, machines: Any) -> Iterator[FleetMachineFrame]:
        for row in machines.values_list("name", "state", "simulated", "trouble"):
            if self._machines.get(row[0]) != row:
                self._machines[row[0]] = row
                name, state, simulated, trouble = row
                yield FleetMachineFrame(type="machine", machine=name, state=state, simulated=simulated, trouble=trouble)

    def _read_jobs(self, rows: Iterable[tuple[int, str, str]]) -> Iterator[FleetJobFrame]:
        for pk, kind, state in rows:
            if self._jobs.get(pk) == state:
                continue
            if state in ENDED:
                self._jobs.pop(pk, None)
            else:
                self._jobs[pk] = state
            yield FleetJobFrame(type="job", job=pk, kind=kind, state=state)


def _rows(jobs: Any) -> list[tuple[int, str, str]]:
    return list(jobs.order_by("pk").values_list("pk", "kind", "state"))
