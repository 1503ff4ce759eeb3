"""A PostgreSQL that is killed and restarted under jobs, or that drops all connections."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from django.conf import settings

from tests.faults import watch
from tests.postgres import Postgres
from tests.sshd import Server

LINES = 60


def killed_and_restarted(postgres: Postgres, gone: Callable[[], bool]) -> None:
    postgres.kill()
    watch.until(gone)
    postgres.start()


def drops_its_connections(postgres: Postgres, gone: Callable[[], bool]) -> None:
    # Again until it is felt: a connection that is idle at that moment is made anew without a word.
    with psycopg.connect(postgres.url, autocommit=True) as link:
        watch.until(lambda: bool(link.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid()"
        )) and gone())  # fmt: skip


@pytest.mark.parametrize("fault", [killed_and_restarted, drops_its_connections])
def test_a_postgresql_that_fails_twice_costs_jobs_time_and_nothing_else(
    postgres: Postgres, sshd: Server, tmp_path: Path, at_once: int, fault: Callable[..., None]
):
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "console.settings",
        "DATABASE_URL": postgres.url,
        "CONSOLE_VAR": str(settings.VAR_DIR),
        "CONSOLE_LEASE_SECONDS": "60",
    }
    counts, told = [tmp_path / f"count-{number}" for number in range(at_once)], tmp_path / "told"

    def elsewhere(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "tests.faults.elsewhere", *arguments]

    commands = [watch.counting(count, LINES) for count in counts]
    launched = elsewhere("launch", str(sshd.endpoint.port), sshd.endpoint.host_key or "", *commands)
    subprocess.run(launched, env=environment, check=True)
    with told.open("wb") as errors:
        worker = subprocess.Popen(elsewhere("work"), env=environment, stderr=errors)

    def stored() -> int:
        return postgres.one("SELECT sum(log_length) FROM jobs_job")[0]

    def away() -> int:
        return told.read_bytes().count(b"the database is away")

    for size in (1, len(watch.written(LINES)) * at_once // 2):
        watch.until(lambda size=size: stored() >= size)
        before = away()
        fault(postgres, lambda before=before: away() > before)
    assert worker.wait(watch.SECONDS) == 0, told.read_text()
    looked = subprocess.run(elsewhere("look"), env=environment, check=True, stdout=subprocess.PIPE).stdout
    whole = hashlib.sha256(watch.written(LINES)).hexdigest()
    right = {"state": "succeeded", "attempt": 1, "said": {}, "lines": LINES, "sha256": whole, "step": whole}
    assert [job for job in json.loads(looked) if job != right] == []
    assert [count.read_text() for count in counts] == ["started\n"] * at_once
