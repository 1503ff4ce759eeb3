"""The fleet: boots machines, boots them again when they restart, ends them."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import select
import signal
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO
from uuid import uuid4

import asyncssh

from hardware.simulator import machine
from hardware.simulator.bmc import board, server
from hardware.simulator.spec import Home, MachineSpec, check_fault, write_whole

START_SECONDS = 20
# The port of a machine's BMC, counted from its own: within reach of whoever chose that one.
BMC_PORTS = 100
_SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


class FleetRefused(Exception):
    """The fleet can't start; ``str()`` is one line with the mend."""


@dataclass
class _Slot:
    home: Home
    spec: MachineSpec
    listener: socket.socket
    bmc_listener: socket.socket
    fingerprint: str = ""
    bmc_fingerprint: str = ""
    keeper: int = 0
    boot_at: float | None = None


class Fleet:
    """``folder`` keeps the machines' disks, keys and password; ``boot_seconds`` is how long a restart takes."""

    def __init__(
        self, folder: Path, machines: int, port: int, faults: Mapping[str, list[str]], boot_seconds: float
    ) -> None:
        self.folder = folder.resolve()
        self.boot_seconds = boot_seconds
        self.slots: list[_Slot] = []
        self._lock = self._take_folder()
        self.bmcs = 0
        self.password = self._password()
        for number in range(1, machines + 1):
            self.slots.append(self._slot(number, port, faults))
        unknown = set(faults) - {slot.spec.name for slot in self.slots}
        if unknown:
            raise FleetRefused(f"there is no machine called {', '.join(sorted(unknown))}; correct --fault.")

    def _take_folder(self) -> TextIO:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / "lock").open("w")
        except OSError as wrong:
            raise FleetRefused(f"{self.folder} can't be written ({wrong.strerror}); choose another --dir.") from wrong
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FleetRefused(f"a fleet already runs on {self.folder}; stop it first.") from None
        os.set_inheritable(lock.fileno(), False)
        return lock

    def _password(self) -> str:
        path = self.folder / "password"
        if not path.exists():
            write_whole(path, secrets.token_urlsafe(15))
        return path.read_text()

    def _slot(self, number: int, port: int, faults: Mapping[str, list[str]]) -> _Slot:
        name = f"kunpeng-{number:02d}"
        home = Home(self.folder / name)
        home.folder.mkdir(exist_ok=True)
        spec = home.load() or MachineSpec(name, number, 0, faults=["no-headers"] if number == 3 else [])
        if name in faults:
            spec.faults = [check_fault(fault) for fault in faults[name] if fault != "none"]
        spec.port = port + number - 1 if port else spec.port or _free_port()
        listener = _bound(spec.port)
        spec.bmc_port = spec.port + BMC_PORTS if port else spec.bmc_port or _free_port()
        try:
            bmc_listener = _bound(spec.bmc_port)
        except FleetRefused:
            # Nobody chose this one.
            spec.bmc_port = _free_port()
            bmc_listener = _bound(spec.bmc_port)
        home.store(spec)
        if not home.host_key.exists():
            key = asyncssh.generate_private_key("ssh-ed25519", comment=name)
            write_whole(home.host_key, key.export_private_key().decode())
        key = asyncssh.read_private_key(str(home.host_key))
        return _Slot(home, spec, listener, bmc_listener, key.get_fingerprint("sha256"), server.certificate(home, spec))

    def run(self) -> None:
        """Boot all, say so in fleet.json, and tend them until TERM or Ctrl-C. Raises ``FleetRefused``."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        # Without a handler of our own the kernel would drop a blocked SIGCHLD.
        signal.signal(signal.SIGCHLD, lambda *_: None)
        manifest = self.folder / "fleet.json"
        manifest.unlink(missing_ok=True)
        try:
            self.bmcs = server.start([(slot.home, slot.spec, slot.bmc_listener) for slot in self.slots], self.password)
            waiting = {self._boot(slot): slot for slot in self.slots}
            self._wait_ready(waiting)
            write_whole(manifest, json.dumps({"machines": [self._describe(slot) for slot in self.slots]}, indent=1))
            names = ", ".join(f"{slot.spec.name} on port {slot.spec.port}" for slot in self.slots)
            print(f"simulated machines on 127.0.0.1: {names}. How to log in: {manifest}", flush=True)
            self._tend()
        finally:
            manifest.unlink(missing_ok=True)
            self._stop()

    def _describe(self, slot: _Slot) -> dict[str, object]:
        return {
            "name": slot.spec.name,
            "host": "127.0.0.1",
            "port": slot.spec.port,
            "username": "root",
            "password": self.password,
            "fingerprint": slot.fingerprint,
            "bmc": {
                "host": "127.0.0.1",
                "port": slot.spec.bmc_port,
                "username": board.USER,
                "password": self.password,
                "fingerprint": slot.bmc_fingerprint,
            },
        }

    def _boot(self, slot: _Slot) -> int:
        """Start a machine; returns the pipe on which it says that it is ready."""
        reader, writer = os.pipe()
        slot.boot_at = None
        slot.spec = slot.home.load() or slot.spec
        slot.keeper = machine.start(slot.home, slot.spec, str(uuid4()), slot.listener, self.password, writer)
        os.close(writer)
        return reader

    def _wait_ready(self, waiting: dict[int, _Slot]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while waiting:
            readable, _, _ = select.select(list(waiting), [], [], max(0, deadline - time.monotonic()))
            if not readable:
                names = ", ".join(slot.spec.name for slot in waiting.values())
                raise FleetRefused(f"{names} did not boot within {START_SECONDS} s; see console.log in its folder.")
            for reader in readable:
                slot = waiting.pop(reader)
                said = os.read(reader, 4096).decode().strip()
                os.close(reader)
                if said != "ready":
                    raise FleetRefused(_explain(slot, said))

    def _tend(self) -> None:
        while True:
            due = [slot.boot_at for slot in self.slots if slot.boot_at is not None]
            pause = max(0.0, min(due) - time.monotonic()) if due else 3600.0
            got = signal.sigtimedwait(_SIGNALS, pause)
            if got is not None and got.si_signo != signal.SIGCHLD:
                return
            self._reap()
            for slot in self.slots:
                if slot.boot_at is not None and time.monotonic() >= slot.boot_at:
                    os.close(self._boot(slot))

    def _reap(self) -> None:
        for slot in self.slots:
            if not slot.keeper:
                continue
            pid, ended = os.waitpid(slot.keeper, os.WNOHANG)
            if pid == 0:
                continue
            slot.keeper = 0
            # Still bound, so that nobody takes the port, but refusing, as a machine does that is not up.
            slot.listener.shutdown(socket.SHUT_RDWR)
            status = os.waitstatus_to_exitcode(ended)
            if status == machine.POWEROFF:
                print(f"{slot.spec.name} was switched off", flush=True)
                continue
            if status != machine.REBOOT:
                print(f"{slot.spec.name} lost its power (status {status})", flush=True)
            slot.boot_at = time.monotonic() + self.boot_seconds

    def _stop(self) -> None:
        for slot in self.slots:
            if slot.keeper:
                os.kill(slot.keeper, signal.SIGTERM)
        deadline = time.monotonic() + machine.GRACE_SECONDS + 3
        for slot in self.slots:
            while slot.keeper and os.waitpid(slot.keeper, os.WNOHANG)[0] == 0:
                if time.monotonic() > deadline:
                    os.kill(slot.keeper, signal.SIGKILL)
                    os.waitpid(slot.keeper, 0)
                    break
                time.sleep(0.01)
            slot.keeper = 0
        if self.bmcs:
            os.kill(self.bmcs, signal.SIGKILL)
            os.waitpid(self.bmcs, 0)


def fleet_runs(folder: Path) -> bool:
    """Whether a fleet runs on ``folder`` now; the pids in a folder that none runs on are somebody else's."""
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _free_port() -> int:
    """A port that nobody has now, below those that the kernel gives to outgoing connections: it is kept for good."""
    for _ in range(100):
        port = secrets.choice(range(20000, 32000))
        with socket.socket() as any_socket, suppress(OSError):
            any_socket.bind(("127.0.0.1", port))
            return port
    raise FleetRefused("no port from 20000 to 32000 of 127.0.0.1 is free; choose others with --port.")


def _bound(port: int) -> socket.socket:
    """Bound by its number: a port that the kernel chose would be lost while the machine is off."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as wrong:
        raise FleetRefused(f"port {port} of 127.0.0.1 is taken; choose others with --port.") from wrong
    return listener


def _explain(slot: _Slot, said: str) -> str:
    if said.startswith("PermissionError") or "unshare" in said:
        return (
            f"this system lets user {os.geteuid()} make no namespaces ({said.partition(': ')[2]}). "
            "In a container, start it with --privileged; elsewhere run the fleet as root, or set sysctl "
            "user.max_user_namespaces=15000 and, on Debian, kernel.unprivileged_userns_clone=1, on Ubuntu, "
            "kernel.apparmor_restrict_unprivileged_userns=0."
        )
    return f"{slot.spec.name} did not boot ({said or 'no reason given'}); see {slot.home.console}."
