"""Many threads that claim jobs at the same time, in whatever database the environment names.

``claiming ROUNDS``: on the same machines. ``limited ROUNDS``: where a limit is in their way, which a person changes
again and again meanwhile.
"""

from __future__ import annotations

import random
import sys
from concurrent.futures import ThreadPoolExecutor

import django


def claiming(rounds: int) -> None:
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


def limited(rounds: int) -> None:
    from django.core.management import call_command
    from django.db import connection

    from hardware.inventory.models import Credential, Machine
    from jobs.admission.models import Limit
    from jobs.admission.services import save_limit
    from jobs.engine.leases import claim
    from jobs.models import Job
    from jobs.services import launch
    from tests import command_kind

    call_command("migrate", verbosity=0)
    command_kind.register()
    lab = Credential.objects.create(name="lab", password="x")
    jobs = []
    for number in range(8):
        fields = {"host": "127.0.0.1", "credential": lab, "state": Machine.State.READY}
        machine = Machine.objects.create(name=f"host-{number}", **fields)
        jobs.append(launch("command", {"command": "true"}, [machine], actor="ada"))
    limit = save_limit(Limit(kind="command", jobs=1), actor="ada")
    assert claim(jobs[0].pk, "w") is not None

    def look(job: Job) -> None:
        for _ in range(rounds):
            assert claim(job.pk, "w") is None
        connection.close()

    def change() -> None:
        for _ in range(rounds):
            save_limit(limit, actor="ada")
        connection.close()

    with ThreadPoolExecutor(8) as pool:
        for done in [*(pool.submit(look, job) for job in jobs[1:]), pool.submit(change)]:
            done.result()


if __name__ == "__main__":
    django.setup()
    {"claiming": claiming, "limited": limited}[sys.argv[1]](int(sys.argv[2]))
    print("whole")
