"""The history of a million jobs; ``jobs.history.bench`` measures it in a process and a database of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator

from console.bench.figure import Figure
from console.bench.rig import Rig, RigFailed

WANTED = re.compile(r"^  any +page +[\d.]+ / +([\d.]+) / .*?REST +[\d.]+ / +([\d.]+) /", re.MULTILINE)


def measure(rig: Rig, quick: bool) -> Iterator[Figure]:
    count = int(os.environ.get("JOBS", "50000" if quick else "1000000"))
    rounds = "2" if quick else "6"
    command = [sys.executable, "-m", "jobs.history.bench", "--jobs", str(count), "--rounds", rounds]
    environment = {name: value for name, value in os.environ.items() if name != "CONSOLE_VAR"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    found = WANTED.search(done.stdout)
    if found is None:
        raise RigFailed((done.stderr or done.stdout).strip().splitlines()[-1])
    print("\n".join(f"  {line}" for line in done.stdout.splitlines()), flush=True)
    yield Figure(
        f"history of {count:,} jobs under any combination of filters",
        f"p95 {found[1]} ms (page), {found[2]} ms (REST)",
        "p95 under 100 ms for every filter",
        ok=done.returncode == 0,
    )
