"""A simulated machine whose driver is loaded, without the time that its installation takes, and who holds its NPUs."""

from __future__ import annotations

import asyncio
import json
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from hardware.simulator.faults import registry
from hardware.simulator.spec import Home
from hardware.ssh.command import execute
from hardware.ssh.errors import SSHFailure
from hardware.ssh.pool import Pool
from tests.fleet import Fleet, start

NAME = "kunpeng-01"
VERSIONS = {
    "driver": "Version=24.1.0\ncompatible_version_fw=[7.0.0,7.5.99]\n",
    "firmware": "Version=7.5.0.2.220\n",
}
ADDRESSES = "address_0=192.168.10.21\nnetmask_0=255.255.255.0\naddress_1=192.168.20.21\n"


@dataclass
class Driven:
    """The one machine of a fleet."""

    fleet: Fleet

    @property
    def home(self) -> Home:
        return Home(self.fleet.folder / NAME)

    def say(self, command: str) -> str:
        """What a command prints on the machine."""

        async def ask() -> str:
            pool = Pool(connect_timeout=2)
            try:
                return (await execute(pool, self.fleet.endpoint(NAME), command, timeout=20)).stdout.strip()
            finally:
                await pool.close()

        return asyncio.run(ask())

    @contextmanager
    def process(self, node: str) -> Iterator[int]:
        """A process that has ``/dev/NODE`` open; its pid."""
        hold = shlex.quote(f"exec 3</dev/{node}; exec sleep 600")
        pid = int(self.say(f"setsid sh -c {hold} >/dev/null 2>&1 </dev/null & echo $!"))
        while self.say(f"cat /proc/{pid}/comm") != "sleep":
            time.sleep(0.02)
        try:
            yield pid
        finally:
            self.say(f"kill -9 {pid}")

    @contextmanager
    def container(self, name: str, npus: list[int]) -> Iterator[int]:
        """A container that was given NPUs, as docker on the machine knows it; the pid of what it began with."""
        pid = int(self.say("setsid sleep 600 >/dev/null 2>&1 </dev/null & echo $!"))
        note = self.fleet.disk(NAME) / "var/lib/docker/containers" / f"{name}.json"
        # The keeper, which a container's processes belong to, is the process itself.
        said = {
            "name": name, "id": name.encode().hex().ljust(64, "0"), "image": "bank:1", "image_id": "1",
            "command": ["sleep"], "pid": pid, "keeper": pid, "state": "running", "devices": npus,
            "env": ["TOKEN=s3cr3t", "ASCEND_VISIBLE_DEVICES=0"],
            "boot_id": self.say("cat /proc/sys/kernel/random/boot_id"),
            "nodes": [[f"/dev/davinci{npu}", f"/dev/davinci{npu}"] for npu in npus],
        }  # fmt: skip
        note.write_text(json.dumps(said))
        try:
            yield pid
        finally:
            note.unlink()
            self.say(f"kill -9 {pid}")

    @contextmanager
    def fault(self, kind: str, *words: str) -> Iterator[None]:
        registry.begin(self.home, kind, list(words))
        try:
            yield
        finally:
            registry.end(self.home, kind)


@pytest.fixture(scope="session")
def driven(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driven]:
    """One for all tests: each leaves it as it was."""
    fleet = start(tmp_path_factory.mktemp("driven") / "fleet", boot_seconds=0.2)
    try:
        machine = Driven(fleet)
        disk = fleet.disk(NAME)
        for what, text in VERSIONS.items():
            (disk / "usr/local/Ascend" / what).mkdir(parents=True)
            (disk / "usr/local/Ascend" / what / "version.info").write_text(text)
        for tool in ("npu-smi", "hccn_tool"):
            (disk / "usr/local/bin" / tool).symlink_to(f"/usr/local/simulated/software/{tool}")
        (disk / "etc/hccn.conf").write_text(
            "address_0=192.168.10.21\nnetmask_0=255.255.255.0\naddress_1=192.168.20.21\n"
        )
        before = machine.say("cat /proc/sys/kernel/random/boot_id")
        fleet.control("reboot", NAME)
        deadline = time.monotonic() + 20
        while True:
            try:
                if machine.say("cat /proc/sys/kernel/random/boot_id") != before:
                    break
            except SSHFailure:
                assert time.monotonic() < deadline, "the machine did not come back"
            time.sleep(0.05)
        yield machine
    finally:
        fleet.stop()
