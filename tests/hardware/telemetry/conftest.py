"""Machines whose npu-smi a test writes, and a collector in the test's own event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from hardware.inventory.models import Credential, Machine
from hardware.telemetry import collector as module
from hardware.telemetry import refused, watch
from hardware.telemetry.collector import Collector
from hardware.telemetry.samples import latest
from tests.sshd import PASSWORD, Server, serve

TABLE = """\
+------------------------------------------------------------------------------------------------+
| npu-smi 23.0.rc3          Version: 23.0.rc2.3                                      |
+---------------------------+---------------+----------------------------------------------------+
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
+===========================+===============+====================================================+
| 0     910A                | OK            | 73.4        44                1123 / 1123          |
| 0                         | 0000:C1:00.0  | 12          4565 / 15137      30710/ 32768         |
+===========================+===============+====================================================+
| 1     910A                | Warning       | 69.6        39                1123 / 1123          |
| 0                         | 0000:81:00.0  | 0           4483 / 15137      30710/ 32768         |
+===========================+===============+====================================================+
"""
INTERVAL = 0.5


@dataclass
class Tool:
    """The ``npu-smi`` that the machines of a test have: a sh script on their PATH."""

    path: Path

    def lists_two_chips(self) -> None:
        self.does(f"cat <<'END'\n{TABLE}END")

    def does(self, script: str) -> None:
        new = self.path.with_suffix(".new")
        new.write_text(f"#!/bin/sh\n{script}\n")
        new.chmod(0o755)
        new.rename(self.path)

    def is_missing(self) -> None:
        self.path.unlink(missing_ok=True)


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    made = Tool(tmp_path / "bin" / "npu-smi")
    made.lists_two_chips()
    return made


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    made = await serve()
    yield made
    made.listener.close()


@pytest.fixture
def enroll(transactional_db: None) -> Callable[..., Machine]:
    """A machine at a server, or at a proxy's port in front of it."""

    def made(name: str, server: Server, port: int | None = None) -> Machine:
        credential, _ = Credential.objects.get_or_create(name="lab", defaults={"password": PASSWORD})
        return Machine.objects.create(
            name=name, host="127.0.0.1", port=port or server.endpoint.port, credential=credential,
            state=Machine.State.READY, host_key=server.endpoint.host_key or "",
        )  # fmt: skip

    return made


@asynccontextmanager
async def collecting(tool_seconds: float = 20) -> AsyncIterator[Collector]:
    made = Collector(INTERVAL, tool_seconds)
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes many seconds on real machines takes few here."""
    monkeypatch.setattr(watch, "NO_DRIVER_SECONDS", 1.0)
    monkeypatch.setattr(watch, "STUCK_SECONDS", 1.0)
    monkeypatch.setattr(refused, "LOOK_SECONDS", 0.5)
    monkeypatch.setattr(module, "DISCOVER_SECONDS", 0.5)


async def until(check: Callable[[], object], seconds: float = 15) -> float:
    """Waits until ``check`` (which may use the ORM) is true; returns how long that took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not await asyncio.to_thread(check):
        assert loop.time() - began < seconds, "it did not come to be"
        await asyncio.sleep(0.05)
    return loop.time() - began


def state_of(machine: Machine) -> str:
    machine.refresh_from_db()
    return machine.state


def newest(name: str) -> dict:
    return latest([name]).get(name, {"state": "none", "at": "", "chips": []})
