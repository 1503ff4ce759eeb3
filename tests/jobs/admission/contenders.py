"""Many threads that claim jobs on the same machines at the same time, in whatever database the environment names."""

from __future__ import annotations

import random
import sys
from concurrent.futures import ThreadPoolExecutor

import django


def main(rounds: int) -> None:
    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from hardware.inventory.models import Credential, Machine
    from jobs.control import cancel
    from jobs.engine.leases import claim
    from jobs.models import Job, MachineLock
    from jobs.services import launch
    from tests import command_kind

    call_command("migrate", verbosity=0)
    command_kind.register()
    lab = Credential.objects.create(name="lab", password="x")
    machines = [
        Machine.objects.create(name=f"host-{n}", host="127.0.0.1", credential=lab, state=Machine.State.READY)
        for n in range(4)
    ]
    dice = random.Random(7)

    def take(job: Job) -> bool:
        try:
            return claim(job.pk, "w") is not None
        finally:
            connection.close()

    for _ in range(rounds):
        jobs = [
            launch("command", {"command": "true"}, dice.sample(machines, dice.randint(1, 3)), actor="ada")
            for _ in range(8)
        ]
        with ThreadPoolExecutor(8) as pool:
            taken = list(pool.map(take, jobs))
        assert any(taken), "somebody is first"
        for job, got in zip(jobs, taken, strict=True):
            job.refresh_from_db()
            locks = set(MachineLock.objects.filter(job=job).values_list("machine", flat=True))
            assert locks == (set(job.machines.values_list("pk", flat=True)) if got else set())
            assert job.state == ("running" if got else "waiting"), job.state
            Job.objects.filter(pk=job.pk).update(state="queued")
            cancel(job, actor="ada")
    print("whole")


if __name__ == "__main__":
    main(int(sys.argv[1]))
