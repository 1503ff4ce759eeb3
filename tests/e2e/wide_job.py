"""Run beside a console, on its database: a job on 500 machines with 12 steps each, and what happens to its steps.

    python tests/e2e/wide_job.py job                 prints the job's id
    python tests/e2e/wide_job.py step JOB MACHINE KEY STATE
    python tests/e2e/wide_job.py machines COUNT      machines that can be ticked; ``no-machines`` takes them away

The job is paused, so that no worker takes it; its machines are retired, so that nothing logs in to them.
"""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")

import django

django.setup()

from django.utils import timezone  # noqa: E402

from hardware.inventory.models import Credential, Machine  # noqa: E402
from jobs.models import Job, JobStep, JobTarget  # noqa: E402
from jobs.plan import Lane, Plan, RunCommand, Stage, Step  # noqa: E402

MACHINES, BATCH = 500, 100
KEYS = (
    "send-driver", "send-firmware", "user", "driver", "firmware", "reboot", "send-cann", "cann", "check", "load",
    "start", "health",
)  # fmt: skip
# What became of the machines by their number: most are done, some failed, a batch is under way, the rest is to come.
FAILED, UNDER_WAY, DONE = range(40, 43), range(200, 250), 250


def job() -> int:
    """Two batches done but for three machines, the third half done, two not begun."""
    machines = _machines("wide", MACHINES, Machine.State.RETIRED)
    steps = [Step(key, f"Install {key}", RunCommand(f"./{key}.run --quiet")) for key in KEYS]
    batches = [machines[start : start + BATCH] for start in range(0, MACHINES, BATCH)]
    stages = [
        Stage(f"Install ({number} of {len(batches)})", [Lane(machine.name, steps) for machine in batch])
        for number, batch in enumerate(batches, 1)
    ]
    plan = Plan(stages)
    began = timezone.now() - timedelta(minutes=10)
    made = Job.objects.create(
        kind="install-driver", plan=plan.to_json(), plan_hash=plan.hash, queue="none", state="paused",
        created_by="ada", started_at=began, attempt=1,
    )  # fmt: skip
    JobTarget.objects.bulk_create([JobTarget(job=made, machine=machine) for machine in machines])
    rows = []
    for number, machine in enumerate(machines):
        for position, key in enumerate(KEYS):
            state = _state(number, position)
            at = began + timedelta(seconds=number // BATCH * 60 + position * 4)
            failed = state == "failed"
            failure = {"code": "command-failed", "cause": f"{machine.name}: no space", "mend": "Read the step's log."}
            rows.append(
                JobStep(
                    job=made, stage=number // BATCH, lane=number % BATCH, position=position, machine=machine, key=key,
                    title=f"Install {key}", action={"type": "run", "command": "true"}, run_id=uuid4().hex, state=state,
                    exit_status=1 if failed else None, failure=failure if failed else {},
                    started_at=at if state != "pending" else None,
                    ended_at=at + timedelta(seconds=3) if state in ("succeeded", "failed") else None,
                )
            )  # fmt: skip
    JobStep.objects.bulk_create(rows, batch_size=500)
    return made.pk


def _state(number: int, position: int) -> str:
    if number in FAILED:
        return "succeeded" if position < 3 else "failed" if position == 3 else "pending"
    if number < 200 or (number in UNDER_WAY and position < 5):
        return "succeeded"
    return "running" if number in UNDER_WAY and position == 5 else "pending"


def _machines(prefix: str, count: int, state: str) -> list[Machine]:
    credential = Credential.objects.first() or Credential.objects.create(name="wide", password="none")
    # An address that is kept for documentation: nobody has it.
    fields = {"host": "192.0.2.1", "credential": credential, "state": state, "site": prefix, "host_key": "none"}
    names = [f"{prefix}-{number:03d}" for number in range(count)]
    return Machine.objects.bulk_create([Machine(name=name, labels=["many"], **fields) for name in names])


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["job"]:
            print(job())
        case ["step", job_id, machine, key, state]:
            values = {"state": state, "ended_at": timezone.now() if state in ("succeeded", "failed") else None}
            JobStep.objects.filter(job=job_id, machine__name=machine, key=key).update(**values)
        case ["machines", count]:
            _machines("many", int(count), Machine.State.READY)
        case ["no-machines"]:
            Machine.objects.filter(site="many").delete()
