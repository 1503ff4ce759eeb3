"""``manage.py generate_jobs N``: a made-up history of N ended jobs, for measuring and for looking at."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from jobs.history.generate import generate, real_jobs, settle


class Command(BaseCommand):
    help = "Add N made-up jobs, all ended, on retired made-up machines. For a database that holds no real work."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("count", type=int, help="how many, such as 1000000")
        parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same spread")
        parser.add_argument("--anyway", action="store_true", help="even among real jobs; nothing undoes it")

    def handle(self, *args: Any, count: int, seed: int, anyway: bool, **options: Any) -> None:
        if count < 1:
            raise CommandError("Give a number of jobs above 0.")
        if not anyway and real_jobs():
            raise CommandError(
                "This database holds real jobs. Set CONSOLE_VAR to an empty folder, or add --anyway to mix them."
            )
        began = time.monotonic()

        def said(done: int) -> None:
            if done % 50_000 == 0 or done == count:
                self.stdout.write(f"{done:,} jobs, {done / (time.monotonic() - began):,.0f} a second")

        generate(count, seed=seed, progress=said)
        settle()
