"""``python -m jobs.history.bench``: the history's page and REST list under every combination of its filters.

The jobs are made up (``jobs.history.generate``) in a database of their own: SQLite in a temporary folder, or what
``DATABASE_URL`` names, if that holds no real jobs. Page and list are asked for in this process, through all layers of
Django, by a person who is logged in; the time of a web server and a network comes on top. Values are drawn anew for
each request, some match much, some nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import resource
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

WANTED_MS = 100.0
ONE_DAY = timedelta(days=1)
FILTERS = ("kind", "state", "machine", "label", "person", "since", "until", "text")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m jobs.history.bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=6, help="requests of each of the 256 combinations")
    parser.add_argument("--folder", type=Path, help="keep the database here, and use it if it is there")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="history-") as folder:
        os.environ["CONSOLE_VAR"] = str((asked.folder or Path(folder)).resolve())
        os.environ.setdefault("CONSOLE_LOG_LEVEL", "ERROR")
        os.environ["DJANGO_SETTINGS_MODULE"] = "console.settings"
        import django

        django.setup()
        return measure(asked.jobs, asked.rounds)


def measure(jobs: int, rounds: int) -> int:
    """Make what is missing, measure, print; 1 when a figure is not held, 2 on a database of real work."""
    from django.core.management import call_command
    from django.db import connection

    from jobs.history.generate import generate, real_jobs, settle
    from jobs.models import Job

    call_command("migrate", verbosity=0)
    if real_jobs():
        print("This database holds real jobs: measure on another one.", file=sys.stderr)
        return 2
    began, there = time.monotonic(), Job.objects.count()
    if there < jobs:
        generate(jobs - there, opened=min(50, jobs - there))
        settle()
        took = time.monotonic() - began
        print(f"history: {jobs - there:,} jobs made in {took:.0f} s ({connection.vendor})", flush=True)
    page, rest = _askers()
    times: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    slowest: dict[str, tuple[float, str]] = {}
    for _round, names in itertools.product(range(rounds), _combinations()):
        query = _values(names, RANDOM)
        for surface, ask in (("page", page), ("REST", rest)):
            ms = ask(query)
            for group in {_group(names), "any"}:
                times[group][surface].append(ms)
            slowest[surface] = max(slowest.get(surface, (0.0, "")), (ms, str(query)))
    return _report(jobs, connection.vendor, times, slowest) | _export(min(jobs, 200_000))


RANDOM = Random(7)


def _askers() -> tuple[Callable[[dict[str, str]], float], Callable[[dict[str, str]], float]]:
    """Ask for the page, ask the REST list; each gives the milliseconds that the answer took."""
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.test import Client

    settings.ALLOWED_HOSTS = ["testserver"]
    settings.STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    person, _made = User.objects.get_or_create(username="bench")
    client = Client()
    client.force_login(person)

    def asker(path: str) -> Callable[[dict[str, str]], float]:
        def ask(query: dict[str, str]) -> float:
            began = time.perf_counter()
            answer = client.get(path, query)
            took = (time.perf_counter() - began) * 1000
            assert answer.status_code == 200, (path, query, answer.status_code)
            return took

        for _warm in range(3):
            ask({})
        return ask

    return asker("/jobs/"), asker("/api/v1/jobs/")


def _combinations() -> list[tuple[str, ...]]:
    return [names for size in range(len(FILTERS) + 1) for names in itertools.combinations(FILTERS, size)]


def _values(names: tuple[str, ...], random: Random) -> dict[str, str]:
    from django.utils import timezone

    from jobs.history.generate import CAUSES, KINDS, MACHINES, PEOPLE, STATES

    today = timezone.now().date()
    end = today - ONE_DAY * random.randint(0, 600)
    machine = f"generated-{random.randint(1, MACHINES):03d}"
    texts = [cause.split(": ")[1].split("{")[0].strip()[:20] or "MiB free" for _code, cause in CAUSES if ": " in cause]
    drawn: dict[str, Any] = {
        "kind": random.choice(list(KINDS)),
        "state": random.choice([str(state) for state in STATES]),
        "machine": random.choice([machine, machine, machine, "nobody"]),
        "label": random.choice(["all", "rack-03", "rare", "none-has-it"]),
        "person": random.choice([*random.sample(list(PEOPLE), 3), "pipeline", "nobody"]),
        "since": end - ONE_DAY * random.choice([0, 7, 30, 365]),
        "until": end,
        "text": random.choice([*texts, "4.19.90-33", "nowhere to be found"]),
    }
    return {name: str(drawn[name]) for name in names}


def _group(names: tuple[str, ...]) -> str:
    if len(names) <= 1:
        return names[0] if names else "no filter"
    return f"any {len(names)} filters"


def _report(jobs: int, vendor: str, times: dict[str, dict[str, list[float]]], slowest: dict[str, Any]) -> int:
    print(f"history of {jobs:,} jobs ({vendor}), milliseconds, p50 / p95 / highest")
    for group, found in times.items():
        cells = "".join(
            f"   {surface} {_at(ms, 0.5):6.1f} / {_at(ms, 0.95):6.1f} / {max(ms):6.1f}" for surface, ms in found.items()
        )
        print(f"  {group:14}{cells}   of {len(found['page'])}")
    for surface, (ms, query) in slowest.items():
        print(f"  slowest {surface}: {ms:.0f} ms, {query}")
    late = [
        f"{group} ({surface})"
        for group, found in times.items()
        for surface, ms in found.items()
        if _at(ms, 0.95) > WANTED_MS
    ]
    print(
        f"  p95 under {WANTED_MS:.0f} ms: {'not held by ' + ', '.join(late) if late else 'held by every filter'}",
        flush=True,
    )
    return 1 if late else 0


def _export(most: int) -> int:
    """Rows a second of an export, and how much memory it took on top."""
    from jobs.history.export import stream
    from jobs.history.query import Query

    async def take(form: str) -> tuple[int, int]:
        rows = size = 0
        async for piece in stream(Query(), form):
            rows, size = rows + piece.count(b"\n"), size + len(piece)
            if rows >= most:
                break
        return rows, size

    for form in ("csv", "jsonl"):
        before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
        rows, size = asyncio.run(take(form))
        took = time.monotonic() - began
        more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        speed = f"{rows:,} jobs, {size / 2**20:.0f} MiB, {rows / took:,.0f} a second"
        print(f"  export {form}: {speed}, {more:.0f} MiB more memory")
    return 0


def _at(values: list[float], part: float) -> float:
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(len(ranked) * part))]


if __name__ == "__main__":
    sys.exit(main())
