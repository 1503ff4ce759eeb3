"""Simulated machines for tests: the fleet runs as the subprocess that the demo starts, too."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh
import pytest

from hardware.inventory.models import Credential, Machine
from hardware.simulator import packages
from hardware.ssh.endpoint import Endpoint
from jobs.depot.services import ingest

ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Fleet:
    """A running fleet. ``machines`` are the entries of its fleet.json."""

    folder: Path
    process: subprocess.Popen[str]
    machines: list[dict[str, str | int]] = field(default_factory=list)

    def endpoint(self, name: str) -> Endpoint:
        """What the transport needs; the host key is read from the machine's folder, as its owner could."""
        entry = next(machine for machine in self.machines if machine["name"] == name)
        key = asyncssh.read_private_key(str(self.folder / name / "ssh_host_ed25519_key"))
        public = key.export_public_key().decode().strip()
        return Endpoint(name, "127.0.0.1", int(entry["port"]), "root", public, password=str(entry["password"]))

    def enroll(self, name: str) -> Machine:
        """The machine in the test's database, ready to be logged in to."""
        endpoint = self.endpoint(name)
        credential, _ = Credential.objects.get_or_create(name="fleet", defaults={"password": endpoint.password})
        return Machine.objects.create(
            name=name, host=endpoint.host, port=endpoint.port, credential=credential,
            state=Machine.State.READY, host_key=endpoint.host_key or "",
        )  # fmt: skip

    def disk(self, name: str) -> Path:
        """The machine's root folder, as the host sees it."""
        return self.folder / name / "disk"

    def starts(self, name: str) -> list[str]:
        """One line for each time that an installer was started on the machine."""
        log = self.disk(name) / "var/log/ascend_seclog/operation.log"
        return log.read_text().splitlines() if log.exists() else []

    def answers(self, name: str) -> bool:
        """Whether anything takes a connection there."""
        port = next(int(machine["port"]) for machine in self.machines if machine["name"] == name)
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True

    def control(self, *arguments: str) -> None:
        """``reboot NAME``, ``power-cut NAME``, ``fault NAME FAULT...``."""
        command, name, *rest = arguments
        subprocess.run(
            [sys.executable, "-m", "hardware.simulator", command, str(self.folder), name, *rest], cwd=ROOT, check=True
        )

    def stop(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.wait(20)


def start(folder: Path, *, machines: int = 1, faults: Sequence[str] = (), boot_seconds: float = 1.0) -> Fleet:
    """Start a fleet on free ports and wait until it is ready. ``faults`` are like ``kunpeng-01=no-headers``."""
    options = [f"--fault={fault}" for fault in faults]
    process = subprocess.Popen(
        [
            sys.executable, "-m", "hardware.simulator", "--dir", str(folder), "--machines", str(machines),
            "--port", "0", "--boot-seconds", str(boot_seconds), *options,
        ],
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    manifest = folder / "fleet.json"
    deadline = time.monotonic() + 30
    while not manifest.exists():
        if process.poll() is not None:
            said = process.stderr.read() if process.stderr else ""
            if process.returncode == 2 and "namespaces" in said:
                pytest.skip(said.strip())
            raise AssertionError(f"the fleet did not start ({process.returncode}): {said}")
        if time.monotonic() > deadline:
            process.kill()
            raise AssertionError("the fleet was not ready within 30 s")
        time.sleep(0.02)
    return Fleet(folder, process, json.loads(manifest.read_text())["machines"])


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Four bare machines of the base configuration; the third lacks the kernel headers. Tests share them."""
    made = start(tmp_path_factory.mktemp("fleet"), machines=4)
    yield made
    made.stop()


@pytest.fixture
def new_fleet(tmp_path: Path) -> Iterator[Callable[..., Fleet]]:
    """Starts fleets of a test's own: ``new_fleet(machines=2, faults=[...])``."""
    started: list[Fleet] = []

    def begin(**options: object) -> Fleet:
        started.append(start(tmp_path / "fleet", **options))  # type: ignore[arg-type]
        return started[-1]

    yield begin
    for made in started:
        if made.process.poll() is None:
            made.stop()


@pytest.fixture(scope="session")
def simulated_packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The simulator's packages by what they are: driver, firmware, cann, headers, python."""
    paths = packages.write_all(tmp_path_factory.mktemp("packages"))
    return dict(zip(("driver", "firmware", "cann", "headers", "python"), paths, strict=False))


@pytest.fixture
def depot(settings, tmp_path: Path, transactional_db: None, simulated_packages: dict[str, Path]) -> dict[str, int]:
    """The packages in the depot of this test: what they are -> artifact id."""
    settings.DEPOT_DIR = tmp_path / "depot"
    found = {}
    for what, path in simulated_packages.items():
        type = {"headers": "os-package", "python": "os-package"}.get(what, what)
        with path.open("rb") as file:
            found[what] = ingest(file, name=path.name, type=type, actor="ada").pk
    return found


@pytest.fixture
def wheels(depot: dict[str, int], simulated_packages: dict[str, Path]) -> dict[str, int]:
    """MindSpore's wheel and what it needs, in the depot of this test: name -> artifact id."""
    found = {}
    for path in sorted(simulated_packages["driver"].parent.glob("*.whl")):
        name = path.name.split("-")[0]
        type = "mindspore" if name == "mindspore" else "wheel"
        with path.open("rb") as file:
            found[name] = ingest(file, name=path.name, type=type, actor="ada").pk
    return found
