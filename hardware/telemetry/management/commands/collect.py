"""``manage.py collect``: sample the fleet's NPUs until TERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from django.core.management import BaseCommand, CommandError, CommandParser

from hardware.telemetry.collector import Collector


class Command(BaseCommand):
    help = "Ask every machine's npu-smi at an interval, keep the samples in Redis and tell the pages."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--interval", type=float, default=2, help="seconds between two readings of a machine")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 0.5 <= options["interval"] <= 3600:
            raise CommandError(f"--interval {options['interval']:g} is out of range; use 0.5 to 3600 seconds.")
        asyncio.run(_until_stopped(Collector(options["interval"])))


async def _until_stopped(collector: Collector) -> None:
    work = asyncio.create_task(collector.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    try:
        await work
    except asyncio.CancelledError:
        return
