"""Telemetry of a large fleet on one collector: processor, memory, how late. Beside it bare asyncssh."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import asyncssh
import redis

from console.bench.figure import Figure, at, cpu_seconds, resident_mb
from console.bench.rig import Rig, RigFailed, until
from hardware.processes import die_with_parent

INTERVAL = 5
# Server processes: a machine's processor is not what is measured, so there are as many as answer in time.
HOSTS = 4
BAR_CORES = 1.0
BAR_MB = 1000.0
# The same lines over as many channels, with nothing done to what comes back.
_BARE = """
import asyncio, json, os, resource, sys, time
import asyncssh
folder, ports, count, seconds, interval = sys.argv[1], json.loads(sys.argv[2]), *map(int, sys.argv[3:6])
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
answered = 0
class Session(asyncssh.SSHClientSession):
    def __init__(self):
        self.tail = b""
    def data_received(self, data, datatype):
        global answered
        self.tail = self.tail[-40:] + data
        if b" end " in self.tail:
            self.tail = b""
            answered += 1
async def one(n, key, turns, chans):
    async with turns:
        link = await asyncssh.connect(
            "127.0.0.1", ports[n % len(ports)], username="root", client_keys=[key], known_hosts=None, config=None,
            agent_path=None, encryption_algs=["aes128-gcm@openssh.com"], compression_algs=None, keepalive_interval=15)
        chan, _ = await link.create_session(Session, "loop", encoding=None)
        chans.append((link, chan))
async def go():
    key = asyncssh.read_private_key(folder + "/login")
    turns, chans = asyncio.Semaphore(50), []
    await asyncio.gather(*(one(n, key, turns, chans) for n in range(count)))
    async def ask(n, chan):
        await asyncio.sleep(interval * n / count)
        turn = 0
        while True:
            turn += 1
            chan.write(b"%d\\n" % turn)
            await asyncio.sleep(interval)
    tasks = [asyncio.create_task(ask(n, chan)) for n, (_, chan) in enumerate(chans)]
    await asyncio.sleep(interval + 2)
    before, cpu, since = answered, time.process_time(), time.monotonic()
    await asyncio.sleep(seconds)
    spent, many = time.process_time() - cpu, answered - before
    rss = int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20
    print(json.dumps({"cpu": spent, "seconds": time.monotonic() - since, "exchanges": many, "mb": rss}), flush=True)
    os._exit(0)
asyncio.run(go())
"""


def measure(rig: Rig, quick: bool) -> Iterator[Figure]:
    from django.conf import settings

    from hardware.inventory.models import Machine
    from hardware.telemetry.samples import collector

    count, seconds = (200, 15) if quick else (5000, 120)
    store: Any = redis.Redis.from_url(settings.REDIS_URL)
    with _machines(rig, count) as (folder, ports):
        bare = _bare(folder, ports, min(count, 1000), min(seconds, 30))
        manage = str(settings.BASE_DIR / "manage.py")
        began = time.monotonic()
        pid = rig.start("collector", [sys.executable, manage, "collect", "--interval", str(INTERVAL)]).pid
        names = list(Machine.objects.order_by("pk").values_list("name", flat=True))
        until(lambda: (collector() or {}).get("machines") == count, 60, "the collector does not see the machines", 1)
        newest = [f"telemetry:newest:{name}" for name in names]
        until(lambda: store.exists(*newest) == count, 600, "not all are sampled", 1)
        started = time.monotonic() - began
        login_cpu = cpu_seconds(pid)
        # The slow values of all, the first minute's rollups.
        time.sleep(20 if quick else 75)
        before, since = cpu_seconds(pid), time.time()
        time.sleep(seconds)
        cores, until_at = (cpu_seconds(pid) - before) / (time.time() - since), time.time()
        memory = resident_mb(pid)
        gaps, exchanges = _gaps(store, names, since, until_at)
        stored = _rows()
        silent = Machine.objects.exclude(state=Machine.State.READY).count()
        redis_mb = store.info("memory")["used_memory"] / 2**20
        rig.stop("collector")
    if not gaps:
        raise RigFailed("no samples were stored")
    ours = cores * seconds / max(exchanges, 1) * 1e3
    theirs = bare["cpu"] / max(bare["exchanges"], 1) * 1e3
    wanted = count * seconds / INTERVAL
    late = [max(0.0, gap - INTERVAL) for gap in gaps]
    lost = sum(round(gap / INTERVAL) - 1 for gap in gaps if gap > 1.5 * INTERVAL)
    yield Figure(
        f"telemetry: {count:,} machines x 8 NPUs every {INTERVAL} s on one collector, rollups and rules included",
        f"{cores * 100:.0f} % of a core, {ours:.2f} ms a reading",
        f"{BAR_CORES * 100:.0f} % of a core",
        f"bare asyncssh, {min(count, 1000):,} machines, same bytes: {theirs:.2f} ms",
        ours / theirs,
        cores < BAR_CORES,
        {"bare": bare, "started_s": started, "login_cpu_s": login_cpu, "rows": stored, "silent": silent,
         "redis_mb": redis_mb},
    )  # fmt: skip
    yield Figure(
        "the same: memory",
        f"{memory:.0f} MB",
        f"under {BAR_MB:.0f} MB",
        f"bare asyncssh, {min(count, 1000):,} machines: {bare['mb']:.0f} MB",
        ok=memory < BAR_MB,
    )
    yield Figure(
        "the same: samples",
        f"{exchanges:,} of {wanted:,.0f}, {lost} lost; "
        f"p95 {at(late, 0.95) * 1e3:.0f} ms late, at most {max(late):.1f} s",
        "none lost",
        ok=lost == 0 and exchanges > 0.97 * wanted,
        detail={"rows": stored, "silent_machines": silent},
    )
    yield Figure("the same: all logged in and sampled", f"after {started:.0f} s, {login_cpu:.0f} s of processor",
                 detail={"redis_mb": redis_mb})  # fmt: skip


def _gaps(store: Any, names: list[str], since: float, until_at: float) -> tuple[list[float], int]:
    """Seconds between samples of a machine, of all machines, and how many samples there were."""
    gaps: list[float] = []
    count = 0
    for name in names:
        found = store.xrange(f"telemetry:hour:{name}", min=int((since - INTERVAL) * 1000), max=int(until_at * 1000))
        taken = [json.loads(fields[b"s"])[0] for _, fields in found]
        count += sum(since <= one <= until_at for one in taken)
        gaps += [later - earlier for earlier, later in pairwise(taken)]
        if not taken:
            gaps.append(until_at - since)
    return gaps, count


def _rows() -> int:
    from hardware.telemetry.rollups.models import Minute

    return Minute.objects.count()


@contextmanager
def _machines(rig: Rig, count: int) -> Iterator[tuple[Path, list[int]]]:
    from hardware.inventory.models import Credential, Machine

    folder = rig.folder / "npu-hosts"
    folder.mkdir()
    host, login = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    host.write_private_key(str(folder / "host"))
    login.write_private_key(str(folder / "login"))
    (folder / "login").chmod(0o600)
    login.write_public_key(str(folder / "login.pub"))
    command = [sys.executable, "-W", "ignore", "-m", "console.bench.npu_hosts", str(folder)]
    processes = [subprocess.Popen([*command, str(n)], preexec_fn=die_with_parent) for n in range(HOSTS)]
    try:
        files = [folder / f"port-{n}" for n in range(HOSTS)]
        until(lambda: all(file.exists() for file in files), 60, "the machines did not come up")
        ports = [int(file.read_text()) for file in files]
        credential = Credential.objects.create(name="npu-hosts", private_key=(folder / "login").read_text())
        key = host.export_public_key().decode().strip()
        Machine.objects.bulk_create(
            Machine(name=f"npu-{n:04d}", host="127.0.0.1", port=ports[n % HOSTS], credential=credential,
                    state=Machine.State.READY, host_key=key, simulated=True)
            for n in range(count)
        )  # fmt: skip
        yield folder, ports
        Machine.objects.filter(credential=credential).delete()
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _bare(folder: Path, ports: list[int], count: int, seconds: int) -> dict[str, float]:
    command = [sys.executable, "-c", _BARE, str(folder), json.dumps(ports), str(count), str(seconds), str(INTERVAL)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise RigFailed(f"bare asyncssh did not end well: {done.stderr.strip().splitlines()[-1:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found
