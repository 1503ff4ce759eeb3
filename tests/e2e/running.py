"""The whole console as an operator starts it: ``manage.py up`` as a subprocess, on its own state and port."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.ports import free_ports

USER, PASSWORD = "ada", "a-long-test-password"
MARKS = {
    "-Q machines": "machines", "-Q compute": "compute", "granian": "web", "beat": "beat", "unixsocket": "redis",
    " collect": "collector",
}  # fmt: skip


@dataclass
class Console:
    """A running console; ``client`` speaks its REST API as the user ``ada``."""

    process: subprocess.Popen[bytes]
    client: httpx.Client
    url: str
    environment: dict[str, str]

    def children(self) -> dict[str, int]:
        """Name -> pid of the supervisor's children."""
        command = ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(self.process.pid)]
        listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        found = {}
        for line in listed.splitlines():
            pid, text = line.strip().split(None, 1)
            found.update({name: int(pid) for mark, name in MARKS.items() if mark in text})
        return found

    def stop(self) -> None:
        self.client.close()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)


def manage(environment: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=300).stdout


@functools.cache
def _migrated() -> tuple[Path, str]:
    """A state with a database and the user ``ada``, made once a process, and her token."""
    folder = Path(tempfile.mkdtemp(prefix="console-e2e-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    environment = {**os.environ, "CONSOLE_VAR": str(folder), "DJANGO_SUPERUSER_PASSWORD": PASSWORD}
    manage(environment, "migrate", "-v0")
    manage(environment, "createsuperuser", "--noinput", "--username", USER, "--email", "ada@example.com")
    return folder, manage(environment, "drf_create_token", USER).split()[2]


def start(var: Path, **settings: str) -> Console:
    """Start a console with the user ``ada`` and wait until it answers."""
    port = free_ports()
    environment = {
        **{name: value for name, value in os.environ.items() if name != "REDIS_URL"},
        "CONSOLE_VAR": str(var),
        "CONSOLE_PORT": str(port),
        **settings,
    }
    folder, token = _migrated()
    shutil.copytree(folder, var, dirs_exist_ok=True)
    process = subprocess.Popen([sys.executable, "manage.py", "up"], env=environment)
    url = f"http://127.0.0.1:{port}"
    client = httpx.Client(base_url=f"{url}/api/v1", headers={"Authorization": f"Token {token}"}, timeout=30)
    deadline = time.monotonic() + 200
    while True:
        try:
            if client.get("/kinds/").status_code == 200:
                break
        except httpx.TransportError:
            pass
        assert process.poll() is None and time.monotonic() < deadline, "the console did not come up"
        time.sleep(0.2)
    return Console(process, client, url, environment)


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory):
    """A console of the module's own, which its tests may hurt."""
    made = start(tmp_path_factory.mktemp("var"), CONSOLE_LEASE_SECONDS="5", CONSOLE_RECONCILE_SECONDS="20")
    yield made
    made.stop()
