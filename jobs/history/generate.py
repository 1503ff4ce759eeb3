"""A history as a busy site has it after two years, made up: for measuring, and for looking at the pages.

The jobs have plans, but neither steps nor logs; their machines are retired, so that nothing ever logs in to one. All
have ended but those asked for as ``opened``: a worker, if one ran, would take them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from random import Random
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from hardware.inventory.models import Credential, Machine
from jobs.models import Job, JobTarget
from jobs.plan import Lane, Plan, RunCommand, Stage, Step, plan_hash
from jobs.states import JobState

QUEUE = "generated"
MACHINES = 200
BATCH = 2_000
SPAN = timedelta(days=730)
# How often each occurs. One pipeline starts most jobs, a few people many, many people few.
KINDS = {
    "install-os-packages": 25, "rollout": 22, "install-driver": 15, "install-cann": 12, "package-image": 10,
    "convert": 9, "quantize": 7,
}  # fmt: skip
ON_CONSOLE = ("quantize", "convert", "package-image")
STATES = {
    JobState.SUCCEEDED: 880, JobState.FAILED: 85, JobState.CANCELLED: 20, JobState.INTERRUPTED: 10, JobState.ERRORED: 5,
}  # fmt: skip
OPEN = (JobState.QUEUED, JobState.WAITING, JobState.RUNNING, JobState.CANCELLING)
PEOPLE = {"pipeline": 400} | {f"person-{number:02d}": max(3, 240 // number) for number in range(1, 41)}
CAUSES = (
    ("command-failed", "Install driver ended with exit code 1: the module did not build for kernel {kernel}"),
    ("command-failed", "Install ended with exit code 1: no package kernel-devel-{kernel} available"),
    ("command-timeout", "{machine}: Install CANN took longer than 1800 s and was stopped."),
    ("space-missing", "{machine}: /usr/local has {n} MiB free, the installer needs 10240 MiB."),
    ("unreachable", "{machine}: no answer on port 22 for 600 s."),
    ("health-failed", "{machine}: the service did not answer /healthz within 60 s."),
    ("checksum-wrong", "{machine}: the file that arrived has another SHA-256 than the depot's."),
    ("interrupted", "{machine} restarted while Install firmware ran; whether it finished is not known."),
)


def real_jobs() -> bool:
    """Whether the database holds jobs that this module did not make."""
    return Job.objects.exclude(queue=QUEUE).exists()


def generate(count: int, *, seed: int = 1, opened: int = 0, progress: Callable[[int], None] | None = None) -> None:
    """Add ``count`` jobs up to now, the last ``opened`` of them not ended. The same seed gives the same spread."""
    made = _made(count, Random(seed), opened, _machines())
    done = 0
    while batch := list(islice(made, BATCH)):
        with transaction.atomic():
            jobs = Job.objects.bulk_create([job for job, _machines in batch])
            targets = zip(jobs, (machines for _job, machines in batch), strict=True)
            JobTarget.objects.bulk_create(
                [JobTarget(job=job, machine=machine) for job, machines in targets for machine in machines]
            )
        done += len(batch)
        if progress is not None:
            progress(done)


def settle() -> None:
    """Let the database take its figures of the tables anew, as its own housekeeping does in time."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE" if connection.vendor == "sqlite" else "VACUUM (ANALYZE)")


def _made(count: int, random: Random, opened: int, machines: list[Machine]) -> Iterator[tuple[Job, list[Machine]]]:
    gap = SPAN / max(1, count)
    now = timezone.now()
    at = now - SPAN
    for number in range(count):
        # Never past now, and in order: the history's pages go by the id.
        at = min(at + gap * random.uniform(0.2, 1.8), now)
        kind, person = _pick(random, KINDS), _pick(random, PEOPLE)
        chosen = [] if kind in ON_CONSOLE else random.sample(machines, _how_many(random, kind))
        state = random.choice(OPEN) if number >= count - opened else _pick(random, STATES)
        yield _job(random, kind, person, state, at, chosen), chosen


def _job(random: Random, kind: str, person: str, state: str, at: datetime, machines: list[Machine]) -> Job:
    names = [machine.name for machine in machines]
    plan = _plan(kind, names)
    job = Job(
        kind=kind,
        params={"batch_size": 2, "release": random.randint(1, 60)} if kind == "rollout" else {"name": kind},
        plan=plan,
        plan_hash=plan_hash(plan),
        queue=QUEUE,
        state=state,
        created_by=person,
        created_at=at,
        log_length=0,
    )
    if state not in (JobState.QUEUED, JobState.WAITING):
        job.started_at, job.attempt = at + timedelta(seconds=random.uniform(0.1, 20)), 1
    if state not in OPEN and job.started_at is not None:
        job.ended_at = job.started_at + timedelta(seconds=random.lognormvariate(4.5, 1.2))
    if state in (JobState.FAILED, JobState.INTERRUPTED, JobState.ERRORED):
        code, cause = random.choice(CAUSES)
        kernel = f"4.19.90-{random.randint(17, 52)}.{random.randint(1, 40)}.v2101.ky10.aarch64"
        said = cause.format(machine=random.choice(names or ["console"]), kernel=kernel, n=random.randint(10, 9000))
        job.failure = {"code": code, "cause": said, "mend": "Read the step's log."}
    return job


def _plan(kind: str, names: list[str]) -> dict[str, Any]:
    """A plan of the size that real ones have: three steps a machine."""
    steps = [
        Step("prepare", "Prepare", RunCommand(f"set -e; mkdir -p /var/tmp/console/{kind}; df -k /var/tmp")),
        Step("install", "Install", RunCommand(f"./{kind}_aarch64.run --full --install-for-all --quiet </dev/null")),
        Step("check", "Check", RunCommand("test -e /etc/ascend_install.info && cat /etc/ascend_install.info")),
    ]
    on: list[str | None] = [*names] or [None]
    return Plan([Stage("Run", [Lane(name, steps) for name in on])]).to_json()


def _how_many(random: Random, kind: str) -> int:
    """Most jobs are for one machine, some for a few; a rollout sometimes is for many."""
    if kind == "rollout" and random.random() < 0.05:
        return random.randint(10, 60)
    return 1 if random.random() < 0.75 else random.randint(2, 5)


def _pick(random: Random, weights: dict[Any, int]) -> Any:
    return random.choices(list(weights), weights=list(weights.values()))[0]


def _machines() -> list[Machine]:
    credential, _made_now = Credential.objects.get_or_create(name="generated", defaults={"password": "none"})
    for number in range(1, MACHINES + 1):
        Machine.objects.get_or_create(
            name=f"generated-{number:03d}",
            # An address that is kept for documentation: nobody has it.
            defaults={
                "host": "192.0.2.1",
                "credential": credential,
                "state": Machine.State.RETIRED,
                "simulated": True,
                "labels": ["all", f"rack-{number // 20:02d}", *(["rare"] if number == 7 else [])],
            },
        )
    return list(Machine.objects.filter(name__startswith="generated-").defer("facts"))
