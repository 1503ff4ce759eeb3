"""A large fleet in the inventory, with facts as a probe stores them, samples as a collector takes them and rollups of a
time; for measuring pages, and for looking at them. Nothing answers at its addresses, and nothing asks there.

``python -m console.bench.fleet MACHINES [--chips 8] [--hours 2] [--days 30] [--feed SECONDS]``, on the console of
``CONSOLE_VAR``.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import random
import time
from typing import TYPE_CHECKING, Any

import django
import django.utils.timezone

if TYPE_CHECKING:
    from hardware.telemetry.rollups.packing import Samples

SITES = ("Hall A", "Hall B", "Hall C", "Edge")
INTERVAL = 5.0
GIB = 1 << 30


def facts(name: str, place: int, chips: int) -> dict[str, Any]:
    """What a probe reads off the base configuration; every fiftieth machine has an NPU that is not well."""
    from hardware.inventory.facts.records import Cpu, Facts, Filesystem, Nic, Npu, Package

    ill = place % 50 == 17
    npus = tuple(
        Npu(n, 0, "910B3", "Warning" if ill and n == 3 else "OK", f"0000:{0xC1 + n:02X}:00.0", 65536, "910B", n)
        for n in range(chips)
    )
    made = Facts(
        hostname=name, boot_id=f"boot-{place}", clock=int(time.time()), clock_skew_s=0.01, simulated=True,
        architecture="aarch64", kernel="4.19.90-24.4.v2101.ky10.aarch64", kernel_headers=True, os_id="kylin",
        os_name="Kylin Linux Advanced Server V10 (Sword)", service_pack="SP2",
        cpu=Cpu("Kunpeng-920", "HiSilicon", 2, 128, 128, 4, 2600.0), memory_total=512 * GIB, memory_free=388 * GIB,
        filesystems=(Filesystem("/", 200 * GIB, 96 * GIB), Filesystem("/data", 1860 * GIB, 1700 * GIB)),
        nics=(Nic("enp125s0f0", True, 1000, (f"10.{place // 250}.{place % 250}.2",)), Nic("enp189s0f0", True, 25000)),
        pci_npus=tuple((str(npu.bus_id), "19e5:d802") for npu in npus),
        davinci_nodes=tuple(f"/dev/davinci{n}" for n in range(chips)), npus=npus,
        driver=Package("25.5.1", (("7.8.0", "7.8.99"),)), firmware=Package("7.8.0.6.201"), cann=Package("8.5.0"),
        pythons={"python3": "3.9.9"}, hwhiaiuser=True, packages={"dkms": "2.6.1-5", "gcc": "7.3.0", "make": "4.3"},
        docker="18.09.0",
    )  # fmt: skip
    return made.to_json()


def chips_of(place: int, chips: int, at: float) -> list[dict[str, Any]]:
    """What the NPUs of a machine read at a time: a load that swings, and heat and power that follow it."""
    made = []
    for npu in range(chips):
        swing = math.sin(at / (600 + 40 * npu) + place) + 0.5 * math.sin(at / 37 + npu)
        load = round(min(100, max(0, 55 + 25 * swing + random.gauss(0, 3))))
        ill = place % 50 == 17 and npu == 3
        made.append({
            "npu_id": npu, "chip_id": 0, "aicore_percent": load, "temp_c": round(38 + load * 0.32),
            "power_w": round(95 + load * 2.4 + random.gauss(0, 2), 1), "hbm_used_mb": 48000 + 40 * load,
            "hbm_total_mb": 65536, "health": "Warning" if ill else "OK", "ecc_errors": 0, "link": 1, "processes": 1,
            "fault_codes": ["80E01801"] if ill else [], "process_list": [[4000 + npu, 48000 + 40 * load]],
        })  # fmt: skip
    return made


def seed(machines: int, chips: int) -> list[str]:
    """Put the machines in; their names. They have no host key: nobody logs in to them."""
    from hardware.inventory.models import Credential, Machine

    login, _ = Credential.objects.get_or_create(name="bench-fleet", defaults={"username": "root"})
    names = [f"n{place // 40 + 1:02}-{place % 40 + 1:02}" for place in range(machines)]
    Machine.objects.bulk_create(
        [
            Machine(
                name=name, host=f"10.{place // 250}.{place % 250}.1", site=SITES[place * len(SITES) // machines],
                labels=[f"rack-{place // 40 + 1:02}", "serving" if place % 3 else "spare"], credential=login,
                state=Machine.State.READY, simulated=True, facts=facts(name, place, chips),
                facts_at=django.utils.timezone.now(),
            )
            for place, name in enumerate(names)
        ],
        batch_size=200,
    )  # fmt: skip
    return names


def roll_up(names: list[str], chips: int, hours: float, days: float) -> None:
    """Minutes of so many hours, and hours of so many days, of the first machines; each was silent for a while."""
    from hardware.inventory.models import Machine
    from hardware.telemetry.rollups import packing
    from hardware.telemetry.rollups.hours import save
    from hardware.telemetry.rollups.models import Hour
    from hardware.telemetry.rollups.store import ROWS, Row, store

    now = int(time.time()) // 60 * 60
    for place, name in enumerate(names[:3]):
        machine_id = Machine.objects.get(name=name).pk
        made: list[Row] = []
        for at in range(now - int(hours * 3600), now, 60):
            # For ten minutes nobody looked, for fifteen the machine said nothing.
            if (now - at) // 60 % 400 not in range(100, 110):
                quiet = (now - at) // 60 % 300 in range(30, 45)
                samples = gathered(place, chips, at, 0 if quiet else 3, 20)
                made.append(Row(machine_id, at, samples.state, packing.pack(samples)))
        for first in range(0, len(made), ROWS):
            store(made[first : first + ROWS])
        whole: list[Hour] = []
        for at in range((now - int(days * 86400)) // 3600 * 3600, now // 3600 * 3600, 3600):
            samples = gathered(place, chips, at, 0 if at // 3600 % 200 in range(12) else 12, 300)
            data = packing.pack_stats(samples.layout, samples.stats()) if samples.states else b""
            whole.append(Hour(machine_id=machine_id, at=at, state=samples.state, data=data))
        save(whole)


def gathered(place: int, chips: int, at: int, count: int, every: int) -> Samples:
    """``count`` samples from ``at`` on."""
    from hardware.telemetry.rollups import packing
    from hardware.telemetry.samples import Sample

    times = [at + every * n for n in range(count)]
    return packing.gathered([packing.reading(Sample("", t, "ok", chips_of(place, chips, t))) for t in times], at)


async def feed(names: list[str], chips: int, seconds: float) -> None:
    """Samples of all machines, every ``INTERVAL``, spread over it; told as a collector tells them."""
    from hardware.telemetry.news import News
    from hardware.telemetry.recorder import Recorder
    from hardware.telemetry.samples import Sample

    recorder, news, loop = Recorder(INTERVAL, "bench"), News(INTERVAL), asyncio.get_running_loop()
    vitals = {"npus_on_bus": chips, "npus_listed": chips, "disk_used_percent": 52.0, "links_down": 0}
    turn, parts, until = 0, 50, loop.time() + seconds
    while loop.time() < until:
        began, now = loop.time(), time.time()
        these = range(turn % parts, len(names), parts)
        samples = [Sample(names[n], now, "ok", chips_of(n, chips, now), vitals=vitals) for n in these]
        await recorder.record(samples, len(names))
        news.tell(samples, recorder.looked, loop.time())
        turn += 1
        await asyncio.sleep(max(0, began + INTERVAL / parts - loop.time()))
    await recorder.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m console.bench.fleet")
    parser.add_argument("machines", type=int)
    parser.add_argument("--chips", type=int, default=8)
    parser.add_argument("--hours", type=float, default=2, help="of which the first machines have minutes")
    parser.add_argument("--days", type=float, default=0, help="of which they have hours")
    parser.add_argument("--feed", type=float, default=0, help="seconds for which samples come")
    given = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    django.setup()
    from hardware.inventory.models import Machine

    names = list(Machine.objects.filter(credential__name="bench-fleet").order_by("pk").values_list("name", flat=True))
    if not names:
        names = seed(given.machines, given.chips)
        roll_up(names, given.chips, given.hours, given.days)
    if given.feed:
        asyncio.run(feed(names, given.chips, given.feed))


if __name__ == "__main__":
    main()
