"""A worker process for the fault tests: takes one job of the test's database and carries it out."""

from __future__ import annotations

import asyncio
import os
import sys

import django
from django.conf import settings


def main(job_id: int) -> None:
    settings.DATABASES["default"]["NAME"] = settings.DATABASES["default"]["TEST"]["NAME"]
    django.setup()
    from hardware.ssh.pool import Pool
    from jobs.runner import Runner
    from tests import command_kind

    command_kind.register()
    print("taking", flush=True)
    asyncio.run(Runner(Pool(), f"worker-{os.getpid()}").run(job_id))


if __name__ == "__main__":
    main(int(sys.argv[1]))
