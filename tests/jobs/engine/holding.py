"""A person marks a step to pause before at the very moment at which a worker begins it, in the database that the
environment names: prints whether the worker began it, and whether the step is marked.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import django


def waits(cursor: Any) -> bool:
    cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
    return cursor.fetchone() != (0,)


def main() -> None:
    django.setup()
    from django.core.management import call_command
    from django.db import connection, transaction

    from hardware.inventory.models import Credential, Machine
    from jobs.control import pause
    from jobs.engine.checkpoints import begin
    from jobs.engine.leases import claim
    from jobs.models import JobStep
    from jobs.services import launch
    from tests import command_kind

    call_command("migrate", verbosity=0)
    command_kind.register()
    lab = Credential.objects.create(name="lab", password="x")
    machine = Machine.objects.create(name="host-1", host="127.0.0.1", credential=lab, state=Machine.State.READY)
    job = launch("command", {"command": "true"}, [machine], actor="ada")
    taken = claim(job.pk, "w")
    assert taken is not None
    step = JobStep.objects.get(job=job, key="first")
    marked = threading.Event()

    def worker() -> bool:
        marked.wait()
        try:
            return begin(taken[0], step)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            pause(job, actor="ada", before="first")
            beginning = pool.submit(worker)
            marked.set()
            deadline = time.monotonic() + 20
            with connection.cursor() as cursor:
                while not beginning.done() and not waits(cursor):
                    assert time.monotonic() < deadline
        began = beginning.result()
    step.refresh_from_db()
    print(began, step.held, step.state)


if __name__ == "__main__":
    main()
