"""A PostgreSQL that is killed and restarted under a job. Skipped where no PostgreSQL is installed."""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.conf import settings

from tests.faults import watch
from tests.sshd import Server

pytestmark = pytest.mark.skipif(
    shutil.which("initdb") is None or shutil.which("pg_ctl") is None, reason="no PostgreSQL is installed here"
)


class Postgres:
    """A cluster of the test's own. It refuses to run as root: where the tests do, it runs as ``postgres``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        shutil.chown(folder, self.user)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"postgresql://console@127.0.0.1:{self.port}/postgres"
        self._do("initdb", "-D", f"{folder}/data", "-U", "console", "-A", "trust", "--no-sync")
        self.start()

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder} -c fsync=off"
        self._do("pg_ctl", "start", "-w", "-D", f"{self.folder}/data", "-o", options, "-l", f"{self.folder}/log")

    def kill(self) -> None:
        """Every connection is dropped at once; nothing is written down first."""
        self._do("pg_ctl", "stop", "-m", "immediate", "-D", f"{self.folder}/data")

    def _do(self, *arguments: str) -> None:
        user = self.user if os.getuid() == 0 else None
        subprocess.run(arguments, user=user, cwd="/", check=True, stdout=subprocess.DEVNULL)

    def one(self, query: str) -> tuple:
        with psycopg.connect(self.url) as link:
            return link.execute(query).fetchone() or ()


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    folder = Path(tempfile.mkdtemp(prefix="console-postgres-"))
    made = Postgres(folder)
    yield made
    made.kill()
    shutil.rmtree(folder)


def test_a_postgresql_that_is_killed_twice_and_restarted_costs_time_and_nothing_else(
    postgres: Postgres, sshd: Server, tmp_path: Path
):
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "console.settings",
        "DATABASE_URL": postgres.url,
        "CONSOLE_VAR": str(settings.VAR_DIR),
        "CONSOLE_LEASE_SECONDS": "60",
    }
    count, told = tmp_path / "count", tmp_path / "told"
    given = [str(sshd.endpoint.port), sshd.endpoint.host_key or "", json.dumps({"command": watch.counting(count)})]
    launched = [sys.executable, "-m", "tests.faults.launch", *given]
    job = int(subprocess.run(launched, env=environment, check=True, stdout=subprocess.PIPE).stdout)
    with told.open("wb") as errors:
        command = [sys.executable, "-m", "tests.faults.worker", str(job), "tests.command_kind:Command"]
        worker = subprocess.Popen(command, env=environment, stderr=errors)
    for lines in (1, 200):
        watch.until(lambda lines=lines: postgres.one("SELECT log_length FROM jobs_job")[0] >= lines)
        before = told.read_bytes().count(b"the database is away")
        postgres.kill()
        watch.until(lambda before=before: told.read_bytes().count(b"the database is away") > before)
        postgres.start()
    assert worker.wait(watch.SECONDS) == 0
    state, attempt, traceback = postgres.one("SELECT state, attempt, traceback FROM jobs_job")
    assert (state, attempt) == ("succeeded", 1), traceback
    assert count.read_text() == "started\n"
    (log,) = postgres.one("SELECT string_agg(data, ''::bytea ORDER BY position) FROM jobs_logchunk")
    assert bytes(log) == watch.written()
    (sha256,) = postgres.one("SELECT log_sha256 FROM jobs_jobstep WHERE key = 'first'")
    assert sha256 == hashlib.sha256(watch.written()).hexdigest()
