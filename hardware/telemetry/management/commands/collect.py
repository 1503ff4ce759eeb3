"""``manage.py collect``: sample the fleet's NPUs until TERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
from typing import Any

from django.conf import settings
from django.core.management import BaseCommand, CommandError, CommandParser
from django.utils.module_loading import import_string

from hardware.ssh.leftovers import quieten
from hardware.telemetry import alerts
from hardware.telemetry.collector import Collector
from hardware.telemetry.rollups.recorder import Rollups


class Command(BaseCommand):
    help = "Ask every machine's npu-smi at an interval, keep the samples in Redis and tell the pages."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--interval", type=float, default=None, help="seconds between two readings of a machine, 1 to 60"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        interval = settings.TELEMETRY_INTERVAL if options["interval"] is None else options["interval"]
        if not 1 <= interval <= 60:
            raise CommandError(f"--interval {interval:g} is out of range; use 1 to 60 seconds.")
        try:
            sources = [import_string(path)() for path in settings.TELEMETRY_SOURCES]
        except ImportError as wrong:
            raise CommandError(f"TELEMETRY_SOURCES names what is not there: {wrong}") from None
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        # A link each; what is usual (1,024) would end at a thousand machines.
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        # Thousands of links live as long as this does: looking through them all for rubbish stops every one of them.
        gc.set_threshold(50_000, 10, 20)
        made = Collector(interval, rollups=Rollups(interval=interval), judge=alerts.evaluate, sources=sources)
        asyncio.run(_until_stopped(made))


async def _until_stopped(collector: Collector) -> None:
    """The first TERM or Ctrl-C hands the machines over and ends it, the second ends it at once."""
    quieten(asyncio.get_running_loop())
    work = asyncio.create_task(collector.run())
    ending: list[asyncio.Task[None]] = []

    async def leave() -> None:
        await collector.part()
        work.cancel()

    def end() -> None:
        if ending:
            work.cancel()
        else:
            ending.append(asyncio.create_task(leave()))

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)
    try:
        await work
    except asyncio.CancelledError:
        return
