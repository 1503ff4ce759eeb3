from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests import tiny_model
from tests.ports import free_ports

ROOT = Path(__file__).resolve().parents[3]


class Served:
    """The server as a process of its own, with a client."""

    def __init__(
        self, folder: Path, path: tuple[Path, ...] = (), release: str = "tiny 1", grace: str = "8", **env: str
    ) -> None:
        self.port = free_ports()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "jobs.serving", "--model", str(folder), "--host", "127.0.0.1",
             "--port", str(self.port), "--grace", grace],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "CONSOLE_RELEASE": release, "PYTHONPATH": os.pathsep.join(map(str, path)), **env},
        )  # fmt: skip
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30)

    def ready(self, within: float = 20) -> Served:
        until = time.monotonic() + within
        while time.monotonic() < until and self.process.poll() is None:
            try:
                if self.client.get("/healthz").status_code == 200:
                    return self
            except httpx.TransportError:
                pass
            time.sleep(0.02)
        raise AssertionError(f"not ready: {self.output()}")

    def ask(self, *texts: str) -> httpx.Response:
        return self.client.post("/v1/classify", json={"texts": list(texts)})

    def metric(self, name: str) -> float:
        for line in self.client.get("/metrics").text.splitlines():
            if line.startswith(name + " "):
                return float(line.rsplit(" ", 1)[1])
        return 0.0

    def output(self) -> str:
        """Ends the process and gives what it printed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=20)[0]


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    started: list[Served] = []

    def start(folder: Path, **how) -> Served:
        started.append(Served(folder, **how))
        return started[-1]

    yield start
    for served in started:
        served.client.close()
        served.process.kill()
        served.process.wait()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tiny_model.release(tmp_path_factory.mktemp("tiny")))
    yield served.ready()
    served.client.close()
    served.process.kill()
    served.process.wait()
