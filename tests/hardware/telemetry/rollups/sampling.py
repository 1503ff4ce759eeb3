"""A process that samples one machine and rolls it up by the second, as a collector does, until it is killed.

``python -m tests.hardware.telemetry.rollups.sampling MACHINE_ID LOAD``
"""

from __future__ import annotations

import asyncio
import sys
import time

import django

PAUSE = 0.04


async def run(machine_id: int, load: float) -> None:
    from hardware.telemetry.recorder import Recorder
    from hardware.telemetry.rollups.hours import Hours
    from hardware.telemetry.rollups.recorder import Rollups
    from hardware.telemetry.samples import FIELDS, Sample

    recorder = Recorder(interval=0.1)
    rollups = Rollups(1, interval=0.1, grace=0.3, hours=Hours(5, grace=0.6))
    rollups.watch({"n1": machine_id})

    async def close() -> None:
        while True:
            await rollups.close_periods(time.time())
            await asyncio.sleep(0.1)

    closing = asyncio.create_task(close())
    while not closing.done():
        chip = {**dict.fromkeys(FIELDS), "npu_id": 0, "chip_id": 0, "aicore_percent": load, "health": "OK"}
        sample = Sample("n1", time.time(), chips=[chip])
        await recorder.record([sample], 1)
        rollups.add(sample)
        await asyncio.sleep(PAUSE)
    await closing


if __name__ == "__main__":
    django.setup()
    asyncio.run(run(int(sys.argv[1]), float(sys.argv[2])))
