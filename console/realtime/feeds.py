"""What a socket has yet to say, read from the store. A feed knows what it has said; it holds no frames.

The calls are synchronous: ``hardware.database.on_db`` runs them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone

from console.realtime.messages import FleetAlertFrame, FleetJobFrame, FleetMachineFrame, JobFrame, LogFrame, StepFrame
from hardware.inventory.models import Machine
from hardware.telemetry.alerts.models import Alert
from jobs.logs import logbook, reading
from jobs.models import Job, JobStep
from jobs.states import ENDED, HELD, IDLE, UNSTARTED, StepState

# Bytes of log in one message: large enough to catch up fast, small enough for any client and for our memory.
BATCH_BYTES = 256 * 1024
BATCH_PIECES = 500
# How far the clocks of two processes that write and read steps may be apart.
SLACK = timedelta(seconds=30)


@dataclass
class Batch:
    """``more``: there is more to read now. ``whole``: the job has ended and all of its log was read."""

    frames: list[Any] = field(default_factory=list)
    more: bool = False
    whole: bool = False


class JobFeed:
    """A job's log from ``offset`` on, and its states whenever they differ from what was said last."""

    def __init__(self, job_id: int, offset: int, since: datetime | None = None) -> None:
        """``since``: the client knows the steps as they were then."""
        self.job_id = job_id
        self.offset = offset
        self._said_job: JobFrame | None = None
        # Step id -> hash of what was said of it: a job has thousands of steps, and a page stays open for hours.
        self._said_steps: dict[int, int] = {}
        self._steps_read_at = since

    def exists(self) -> bool:
        return Job.objects.filter(pk=self.job_id).exists()

    def read(self, states: bool = True) -> Batch:
        """What is new. ``states=False`` leaves the steps out, for a wake-up that tells of the log alone."""
        # The job before its log: what is appended afterwards is read the next time, and an ended job appends nothing.
        job = Job.objects.only("state", "attempt", "waits_for", "failure", "log_length", "log_removed_at").get(
            pk=self.job_id
        )
        batch = Batch()
        removed = job.log_removed_at is not None
        log = [] if removed else list(self._log(batch, job.log_length))
        if states or job.ended:
            # Steps read after the job: those of an ended job are final.
            batch.frames += self._steps(job.ended)
        batch.frames += log
        now = JobFrame(
            type="job", job=job.pk, state=job.state, attempt=job.attempt, waits_for=job.waits_for_id,
            failure=job.failure,
        )  # fmt: skip
        if now != self._said_job:
            self._said_job = now
            batch.frames.append(now)
        if removed:
            # Nothing of it is left to read: what the page says of it is the server's.
            self.offset = max(self.offset, job.log_length)
        batch.whole = job.ended and self.offset >= job.log_length
        return batch

    def _log(self, batch: Batch, length: int) -> Iterator[LogFrame]:
        pieces = reading.read(self.job_id, self.offset, BATCH_BYTES, BATCH_PIECES, length=length)
        if pieces:
            self.offset = pieces[-1].end
            batch.more = self.offset < length
        for piece in pieces:
            yield LogFrame(type="log", **logbook.frame(piece))  # type: ignore[typeddict-item]

    def _steps(self, ended: bool) -> Iterator[StepFrame]:
        """Steps that differ from what was said. Of 6,000 few do: those under way, and those that began or ended since
        the last look; that a clock may be off by ``SLACK`` is the reason for the last look of all.
        """
        now = timezone.now()
        steps = JobStep.objects.filter(job=self.job_id)
        if self._steps_read_at is not None and not (ended and self._said_steps):
            since = self._steps_read_at - SLACK
            moving = Q(state__in=(StepState.RUNNING, StepState.UNREACHABLE))
            steps = steps.filter(moving | Q(started_at__gte=since) | Q(ended_at__gte=since))
        self._steps_read_at = now
        rows = steps.values_list("pk", "key", "state", "machine__name", "failure", "progress", "exit_status")
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
        self._alerts: dict[int, list[Any]] = {}

    def everything(self) -> list[Any]:
        """What differs anywhere: at the start all of it, later what a lost wake-up would have told."""
        open_jobs = Job.objects.filter(state__in=(*UNSTARTED, *HELD, *IDLE))
        missed = Job.objects.filter(pk__in=[*self._jobs]).filter(state__in=ENDED)
        open_alerts = Alert.objects.filter(Q(state=Alert.State.OPEN) | Q(pk__in=[*self._alerts]))
        return [
            *self._read_machines(Machine.objects.all()),
            *self._read_jobs([*_rows(open_jobs), *_rows(missed)]),
            *self._read_alerts(open_alerts),
        ]

    def named(self, machines: Iterable[str], jobs: Iterable[int], alerts: Collection[int] = ()) -> list[Any]:
        if 0 in alerts:
            # Which alerts that concerns is for the reader to look up.
            said = FleetAlertFrame(
                type="alert", alert=0, rule="", severity="", machine="", npu="", state="", acknowledged=False
            )
            return [said, *self.named(machines, jobs, [pk for pk in alerts if pk])]
        return [
            *self._read_alerts(Alert.objects.filter(pk__in=[*alerts])),
            *self._read_machines(Machine.objects.filter(name__in=[*machines])),
            *self._read_jobs(_rows(Job.objects.filter(pk__in=[*jobs]))),
        ]

    def _read_machines(self, machines: Any) -> Iterator[FleetMachineFrame]:
        for row in machines.values_list("name", "state", "simulated", "trouble"):
            if self._machines.get(row[0]) != row:
                self._machines[row[0]] = row
                name, state, simulated, trouble = row
                yield FleetMachineFrame(type="machine", machine=name, state=state, simulated=simulated, trouble=trouble)

    def _read_alerts(self, alerts: Any) -> Iterator[FleetAlertFrame]:
        fields = ("pk", "rule__slug", "rule__severity", "machine__name", "npu", "state", "acknowledged_by")
        for pk, *row in alerts.order_by("pk").values_list(*fields):
            if self._alerts.get(pk) == row:
                continue
            rule, severity, machine, npu, state, acknowledged = row
            if state == Alert.State.OPEN:
                self._alerts[pk] = row
            else:
                self._alerts.pop(pk, None)
            yield FleetAlertFrame(
                type="alert", alert=pk, rule=rule, severity=severity, machine=machine, npu=npu, state=state,
                acknowledged=bool(acknowledged),
            )  # fmt: skip

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
