"""Jobs in whatever database the environment of this process names: launching them, carrying them out, looking at them.

``launch PORT HOST_KEY COMMAND...`` launches a job for each command, on a machine of its own; ``here CODE...`` one for
each piece of Python on the console itself. ``work`` carries all jobs out side by side. ``look`` prints what is known of
each.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from typing import Any

import django


def launch_all(port: int, host_key: str, commands: list[str]) -> None:
    from django.core.management import call_command

    from hardware.inventory.models import Credential, Machine
    from jobs.services import launch
    from tests.sshd import PASSWORD

    call_command("migrate", verbosity=0)
    credential, _ = Credential.objects.get_or_create(name="lab", defaults={"password": PASSWORD})
    for number, command in enumerate(commands):
        known = {
            "host": "127.0.0.1", "port": port, "state": Machine.State.READY, "host_key": host_key,
            "credential": credential,
        }  # fmt: skip
        machine, _ = Machine.objects.get_or_create(name=f"host-{number}", defaults=known)
        launch("command", {"command": command}, [machine], actor="ada")


def launch_here(codes: list[str]) -> None:
    from jobs.services import launch

    for code in codes:
        launch("here", {"code": code}, [], actor="ada")


def work() -> None:
    from hardware.ssh.pool import Pool
    from jobs.engine.runner import Runner
    from jobs.models import Job

    ids = list(Job.objects.order_by("pk").values_list("pk", flat=True))

    async def go() -> None:
        runner = Runner(Pool(), f"worker-{os.getpid()}")
        assert all(await asyncio.gather(*(runner.run(pk) for pk in ids)))

    asyncio.run(go())


def look() -> list[dict[str, Any]]:
    from jobs.models import Job
    from tests.worker import log_of

    return [
        {
            "state": job.state,
            "attempt": job.attempt,
            "said": job.traceback or job.failure,
            "lines": (log := log_of(job)).count(b"\n"),
            "sha256": hashlib.sha256(log).hexdigest(),
            "step": job.steps.get(key="first").log_sha256,
        }
        for job in Job.objects.order_by("pk")
    ]


def main() -> None:
    django.setup()
    from tests import command_kind
    from tests.faults import kinds

    command_kind.register()
    kinds.register()
    match sys.argv[1:]:
        case ["launch", port, host_key, *commands]:
            launch_all(int(port), host_key, commands)
        case ["here", *codes]:
            launch_here(codes)
        case ["work"]:
            work()
        case ["look"]:
            print(json.dumps(look()))


if __name__ == "__main__":
    main()
