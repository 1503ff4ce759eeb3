"""A running job whose log the test writes: two machines and as many steps as the kind makes."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from hardware.inventory.models import Credential, Machine
from jobs.engine import checkpoints
from jobs.engine.leases import Lease, claim
from jobs.logs.logbook import append
from jobs.models import Job, JobStep
from jobs.services import launch
from jobs.states import JobState, StepState
from tests import command_kind


@dataclass
class Written:
    """A job and what was written to its log: all of it, and each source by itself."""

    job: Job
    steps: list[JobStep]
    lease: Lease
    whole: bytearray = field(default_factory=bytearray)
    sources: dict[str, bytearray] = field(default_factory=dict)

    def source(self, step: JobStep) -> str:
        return f"run:{step.run_id}"

    def write(self, step: int, data: bytes) -> None:
        row = self.steps[step]
        before = self.sources.setdefault(self.source(row), bytearray())
        append(self.lease, row, self.source(row), len(before), data)
        before += data
        self.whole += data

    def scatter(self, count: int, size: int = 400, seed: int = 1) -> None:
        """Lines of all steps mixed, cut anywhere."""
        chance = random.Random(seed)
        waiting = [b""] * len(self.steps)
        for number in range(count):
            step = chance.randrange(len(self.steps))
            words = " ".join(chance.choice(("install", "第", "driver", "0x7f", "ok")) for _ in range(size // 8))
            waiting[step] += f"{number} {words}\n".encode()
            cut = chance.randrange(1, len(waiting[step]) + 1)
            self.write(step, waiting[step][:cut])
            waiting[step] = waiting[step][cut:]

    def end_steps(self) -> None:
        for step in self.steps:
            checkpoints.move(self.lease, step, StepState.SUCCEEDED)

    def end(self) -> Job:
        self.end_steps()
        checkpoints.end(self.lease, JobState.SUCCEEDED)
        self.job.refresh_from_db()
        return self.job


@pytest.fixture
def written(transactional_db: None) -> Written:
    command_kind.register()
    credential = Credential.objects.create(name="lab", password="secret")
    machines = [
        Machine.objects.create(
            name=name, host="127.0.0.1", port=1, credential=credential, state=Machine.State.READY, host_key="none"
        )
        for name in ("host-1", "host-2")
    ]
    job = launch("command", {"command": "true"}, machines, actor="ada")
    lease, _ = claim(job.pk, "test")
    assert lease
    return Written(job, list(job.steps.select_related("machine").order_by("pk")), lease)
