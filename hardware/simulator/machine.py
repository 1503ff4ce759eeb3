"""One boot of a simulated machine: from a fork of the fleet to its SSH server, and to its end.

Three processes: the keeper, outside the machine's pid namespace, waits for init and hands its status to the fleet;
init is the machine's pid 1, whose end is the end of everything in it; the SSH server is init's first child.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from types import FrameType

from hardware.simulator import namespaces, rootfs, sshd
from hardware.simulator.faults import machine_silent, standing
from hardware.simulator.spec import Home, MachineSpec

# Exit statuses of init.
REBOOT, POWEROFF, CRASHED = 10, 11, 12
# What systemd takes as its orders, and so does init here.
POWEROFF_SIGNAL, REBOOT_SIGNAL = signal.SIGRTMIN + 4, signal.SIGRTMIN + 5
GRACE_SECONDS = 2.0


class _Ordered(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def start(home: Home, spec: MachineSpec, boot_id: str, listener: socket.socket, password: str, status: int) -> int:
    """Fork a machine; returns its keeper's pid. One line comes on ``status`` (a pipe): ``ready``, or what is wrong."""
    fleet = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        _keep(fleet, home, spec, boot_id, listener, password, status)
    except OSError as wrong:
        os.write(status, f"{type(wrong).__name__}: {wrong}\n".encode())
    except BaseException:
        os.write(status, f"bug: {traceback.format_exc().splitlines()[-1]}\n".encode())
    os._exit(CRASHED)


def _keep(
    fleet: int, home: Home, spec: MachineSpec, boot_id: str, listener: socket.socket, password: str, status: int
) -> None:
    os.setsid()
    console = os.open(home.console, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (console, 1), (console, 2)):
        os.dup2(source, target)
    _default_signals()
    rootfs.seed(home, spec)
    rootfs.prepare(home, spec, boot_id)
    namespaces.enter_namespaces()
    namespaces.die_with_parent(fleet)
    keeper = os.getpid()
    reader, writer = os.pipe()
    init = os.fork()
    if init == 0:
        os.close(writer)
        # Until the keeper listens for orders: a signal must not find init without it.
        os.read(reader, 1)
        namespaces.die_with_parent(0)
        try:
            _init(home, spec, listener, password, status)
        except OSError as wrong:
            os.write(status, f"{type(wrong).__name__}: {wrong}\n".encode())
        except BaseException:
            traceback.print_exc()
            os.write(status, b"bug: see console.log\n")
        sys.stderr.flush()
        os._exit(CRASHED)
    listener.close()
    os.close(status)

    def pass_on(number: int, frame: FrameType | None) -> None:
        os.kill(init, number)

    for number in (signal.SIGTERM, POWEROFF_SIGNAL, REBOOT_SIGNAL):
        signal.signal(number, pass_on)
    home.pid.write_text(f"{keeper}\n")
    os.write(writer, b"1")
    _, ended = os.waitpid(init, 0)
    home.pid.unlink(missing_ok=True)
    os._exit(os.waitstatus_to_exitcode(ended) if os.WIFEXITED(ended) else CRASHED)


def _init(home: Home, spec: MachineSpec, listener: socket.socket, password: str, status: int) -> None:
    def order(number: int, frame: FrameType | None) -> None:
        raise _Ordered(REBOOT if number == REBOOT_SIGNAL else POWEROFF)

    try:
        for number in (signal.SIGTERM, POWEROFF_SIGNAL, REBOOT_SIGNAL):
            signal.signal(number, order)
        rootfs.mount_root(home, spec)
        key = home.host_key.read_bytes()
        namespaces.change_root(home.disk)
        namespaces.set_hostname(spec.name)
        namespaces.raise_loopback()
        namespaces.keep_off_the_host()
        os.umask(0o022)
        server = os.fork()
        if server == 0:
            _serve(spec, key, listener, password, status)
        listener.close()
        os.close(status)
        _start_services()
        while True:
            pid, ended = os.wait()
            if pid == server:
                print(f"the SSH server ended with status {ended}", file=sys.stderr, flush=True)
                os._exit(CRASHED)
    except _Ordered as wanted:
        _halt()
        os._exit(wanted.status)


def _serve(spec: MachineSpec, key: bytes, listener: socket.socket, password: str, status: int) -> None:
    _default_signals()
    namespaces.set_process_name(machine_silent.SERVER)
    shell = "/bin/sh.missing" if spec.has("no-shell") else "/bin/sh"
    try:
        sshd.serve(listener, key, password, shell, lambda: _ready(status))
    except BaseException:
        traceback.print_exc()
    os._exit(1)


def _ready(status: int) -> None:
    _tell(status, "ready")
    if machine_silent.SLUG in standing(Path(sshd.SIMULATED)):
        os.kill(os.getpid(), signal.SIGSTOP)


def _tell(status: int, line: str) -> None:
    # After a restart nobody waits to be told.
    with suppress(BrokenPipeError):
        os.write(status, f"{line}\n".encode())
    os.close(status)


def _start_services() -> None:
    """What an installed system starts at boot: here, the containers whose restart policy says so."""
    docker = Path(sshd.SIMULATED, "bin/docker")
    if docker.exists() and any(Path("/var/lib/docker/containers").glob("*.json")) and os.fork() == 0:
        _default_signals()
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.setsid()
        os.execve(docker, ["docker", "simulated-boot"], sshd.ENVIRONMENT)


def _halt() -> None:
    """TERM to everything, a moment to end, and the rest goes with pid 1."""
    for number in (signal.SIGTERM, POWEROFF_SIGNAL, REBOOT_SIGNAL):
        signal.signal(number, signal.SIG_IGN)
    os.kill(-1, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.02)
        except ChildProcessError:
            return


def _default_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, POWEROFF_SIGNAL, REBOOT_SIGNAL):
        signal.signal(number, signal.SIG_DFL)
