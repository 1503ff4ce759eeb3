"""``python -m hardware.telemetry.alerts.bench [--quick]``: what judging one minute of 5,000 machines x 8 NPUs costs.

By the built-in rules, on a database of its own, as the collector does it: what is pending and open is read, periods are
judged, what changed is written. Once where all is well, and once where a rack of 64 machines overheats.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from typing import Any

MACHINES, NPUS, RACK = 5_000, 8, 64
# Of one core, for the minute that the periods are of.
BAR_PERCENT = 5.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m hardware.telemetry.alerts.bench")
    parser.add_argument("--quick", action="store_true", help="500 machines: whether it works, not how well")
    machines = MACHINES // 10 if parser.parse_args().quick else MACHINES
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"CONSOLE_VAR": folder, "DJANGO_SETTINGS_MODULE": "console.settings"}
        os.environ.pop("DATABASE_URL", None)
        figures = _measured(machines)
    print("what                                 | measured | bar")
    for what, percent in figures.items():
        print(f"{what:<36} | {percent:5.1f} %  | {BAR_PERCENT:g} % of a core")
    print(json.dumps({"machines": machines, "npus": NPUS, **figures}))
    return 0 if max(figures.values()) <= BAR_PERCENT or machines < MACHINES else 1


def _measured(count: int) -> dict[str, float]:
    import django

    django.setup()
    from django.core.management import call_command

    from hardware.inventory.models import Credential, Machine

    call_command("migrate", verbosity=0)
    credential = Credential.objects.create(name="bench")
    Machine.objects.bulk_create(
        Machine(name=f"m{number:04}", host="192.0.2.1", credential=credential, state="ready", host_key="x")
        for number in range(count)
    )
    ids = list(Machine.objects.order_by("pk").values_list("pk", "name"))
    return asyncio.run(_minutes(ids))


async def _minutes(ids: list[tuple[int, str]]) -> dict[str, float]:
    from hardware.telemetry import alerts

    start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=1)
    # The first minute remembers each counter and how many NPUs there are; that is once a machine.
    figures: dict[str, float] = {}
    for minute, (what, hot) in enumerate(
        [("first minute, everything new", 0), ("a minute in which all is well", 0), ("a rack of 64 overheats", RACK),
         ("the same, a minute later", RACK)]
    ):  # fmt: skip
        periods = [_period(pk, name, start + timedelta(minutes=minute), at < hot) for at, (pk, name) in enumerate(ids)]
        began = time.process_time()
        await alerts.evaluate(periods)
        figures[what] = round((time.process_time() - began) / 60 * 100, 2)
    return figures


def _period(machine_id: int, name: str, at: datetime, hot: bool) -> Any:
    from hardware.telemetry.rollups import Period, Stat

    def of(value: float) -> Stat:
        return Stat(value, value, value, value, 12)

    npu = {
        "aicore_percent": of(64), "temp_c": of(91 if hot else 55), "power_w": of(240), "hbm_used_percent": of(70),
        "health": of(1 if hot else 0), "ecc_errors": of(3), "link": of(1), "processes": of(1),
    }  # fmt: skip
    vitals = {
        "npus_on_bus": of(NPUS), "npus_listed": of(NPUS), "disk_used_percent": of(41), "clock_skew_s": of(0.1),
        "requests_waiting": of(0), "latency_spread_percent": of(34 if hot else 4), "out_of_memory": of(0),
    }  # fmt: skip
    return Period(name, machine_id, at, 60, "ok", {(chip, 0): npu for chip in range(NPUS)}, vitals)


if __name__ == "__main__":
    sys.exit(main())
