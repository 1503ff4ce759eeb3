"""Runs that wait, all at once on one worker: how much memory. Beside it bare asyncssh that waits for as many."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

from console.bench.figure import Figure, cpu_seconds, resident_mb
from console.bench.rig import PERSON, Host, Rig, ended, until

WANTED_MB = 400.0
# One link a machine and one session a run: the least that asyncssh can do.
_BARE = """
import asyncio, json, os, resource, sys
import asyncssh
given = json.load(open(sys.argv[1] + "/machines.json"))
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
async def one(port, turns, links):
    async with turns:
        link = await asyncssh.connect("127.0.0.1", port, username="root", client_keys=[sys.argv[1] + "/login"],
                                      known_hosts=None, config=None, agent_path=None, keepalive_interval=15)
        links.append((link, await link.create_process("tail -c +1 -f x/var/tmp/ascend-console/runs/bare")))
async def go():
    turns, links = asyncio.Semaphore(50), []
    await asyncio.gather(*(one(port, turns, links) for port in given["ports"]))
    await asyncio.sleep(1)
    print(json.dumps(int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20), flush=True)
    os._exit(0)
asyncio.run(go())
"""


def measure(rig: Rig, quick: bool) -> Iterator[Figure]:
    """A machine for each run: a link for each run is the dearest that it can be."""
    from jobs.models import JobStep
    from jobs.services import launch

    count = 200 if quick else 2000
    with rig.machines(count, light=True) as host:
        bare = _bare(host)
        pid = rig.worker()
        alone = resident_mb(pid)
        began = time.monotonic()
        made = [launch("bench-command", {"command": "wait"}, [row], actor=PERSON).pk for row in host.rows]
        waits = JobStep.objects.filter(job__gte=made[0], job__lte=made[-1]).exclude(boot_id="")
        until(lambda: not ended(made) and waits.count() == count, 600, "not all runs were started", 0.5)
        started = time.monotonic() - began
        until(lambda: _lines(made) == count, 60, "not all runs are followed", 0.5)
        time.sleep(5)
        before, since = cpu_seconds(pid), time.monotonic()
        time.sleep(10)
        idle = (cpu_seconds(pid) - before) / (time.monotonic() - since)
        memory = resident_mb(pid)
        host.process.send_signal(signal.SIGUSR1)
        began = time.monotonic()
        until(lambda: ended(made) == count, 600, "not all runs ended", 0.5)
        finished = time.monotonic() - began
    yield Figure(
        f"{count:,} waiting runs on one worker, a machine and a link each",
        f"{memory:.0f} MB",
        f"under {WANTED_MB:.0f} MB",
        f"bare asyncssh, as many links and sessions: {bare:.0f} MB",
        memory / bare,
        memory < WANTED_MB,
        {"worker_alone_mb": alone, "started_s": started, "all_at_once_ended_s": finished, "worker_cores_waiting": idle,
         "peak_mb": resident_mb(pid)},
    )  # fmt: skip
    yield Figure(
        f"the same {count:,} runs: start them all, end them all at once",
        f"{started:.0f} s, {finished:.0f} s; while they wait the worker takes {idle * 100:.0f} % of a core",
    )


def _lines(jobs: list[int]) -> int:
    from jobs.models import Job

    return Job.objects.filter(pk__gte=jobs[0], pk__lte=jobs[-1], log_length__gt=0).count()


def _bare(host: Host) -> float:
    done = subprocess.run(
        [sys.executable, "-c", _BARE, str(host.folder)], capture_output=True, text=True, check=True, timeout=300
    )
    return float(json.loads(done.stdout.splitlines()[-1]))
