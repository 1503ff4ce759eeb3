"""The process that keeps one container: starts what runs in it, waits for it, restarts it as its policy says.

What the daemon and its shim are to a real container. It outlives the command and the SSH session that started it, and
ends with the machine; its mount namespace, and with it the container's, ends with it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

from hardware.simulator.docker import store
from hardware.simulator.docker.errors import Refused, run_refused
from hardware.simulator.docker.mounts import assemble
from hardware.simulator.docker.store import Container

# Docker's: from 0.1 s, doubled each time, a minute at most, and from the start again after ten good seconds.
_FIRST_DELAY_S, _LONGEST_DELAY_S, _GOOD_S = 0.1, 60.0, 10.0
_POLL_S = 0.05
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126


def start(container: Container) -> None:
    """Starts a keeper and returns when the container runs. Raises Refused when it could not be started."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.close(reader)
        os.setsid()
        try:
            _become_daemon(container)
            _keep(container.name, writer)
        except _Unstartable as error:
            _tell(writer, f"{error.status} {error}")
        except OSError as error:
            _tell(writer, f"125 OCI runtime create failed: {error.strerror or error}: unknown.")
        except BaseException as error:  # nothing of this process may go on in the command's place
            _tell(writer, f"125 {type(error).__name__}: {error}")
        os._exit(1)
    os.close(writer)
    with os.fdopen(reader) as said:
        answer = said.read()
    if answer != "started":
        status, _, reason = answer.partition(" ")
        _failed(container.name, int(status or 125), reason)
        raise run_refused(reason or "the container's keeper ended at once.", int(status or 125))


def _failed(name: str, status: int, reason: str) -> None:
    with store.lock():
        container = store.find_container(name)
        if container is not None:
            container.state, container.pid, container.exit_code, container.error = "created", 0, status, reason
            store.save_container(container)


def _become_daemon(container: Container) -> None:
    container.log.parent.mkdir(parents=True, exist_ok=True)
    null = os.open("/dev/null", os.O_RDWR)
    log = os.open(container.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    for number, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(number, target)
    os.chdir("/")


def _tell(writer: int, answer: str) -> None:
    with suppress(OSError):
        os.write(writer, answer.encode())
        os.close(writer)


class _Halt:
    """Set when the machine goes down: what then ends is not restarted."""

    def __init__(self) -> None:
        self.ordered = False
        signal.signal(signal.SIGTERM, self._order)

    def _order(self, number: int, frame: FrameType | None) -> None:
        self.ordered = True


def _keep(name: str, writer: int) -> None:
    halt = _Halt()
    assemble(_own(name))
    delay = _FIRST_DELAY_S
    while True:
        try:
            pid = _spawn(_own(name))
        except _Unstartable:
            if writer >= 0:
                raise
            # It started once; what it needs has gone since.
            _ended(name, _NOT_FOUND, final=True)
            os._exit(0)
        with store.lock():
            container = _own(name)
            container.state, container.pid, container.keeper = "running", pid, os.getpid()
            container.started, container.boot_id, container.error = time.time(), store.boot_id(), ""
            store.save_container(container)
        if writer >= 0:
            _tell(writer, "started")
            writer = -1
        _, ended = os.waitpid(pid, 0)
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        if halt.ordered:
            os._exit(0)
        lasted = time.time() - container.started
        if not _ended(name, _exit_code(ended)):
            os._exit(0)
        delay = _FIRST_DELAY_S if lasted > _GOOD_S else min(delay * 2, _LONGEST_DELAY_S)
        _rest(name, delay, halt)


def _own(name: str) -> Container:
    container = store.find_container(name)
    if container is None:
        os._exit(0)
    return container


def _exit_code(ended: int) -> int:
    code = os.waitstatus_to_exitcode(ended)
    return code if code >= 0 else 128 - code


def _ended(name: str, code: int, *, final: bool = False) -> bool:
    """Records the end; True when the container is to be restarted."""
    with store.lock():
        container = _own(name)
        container.pid, container.exit_code, container.finished = 0, code, time.time()
        again = not final and not container.stopped_by_hand and _wants_restart(container, code)
        container.state = "restarting" if again else "exited"
        container.restarts += again
        store.save_container(container)
        if not again and container.auto_remove:
            store.forget_container(container)
    return again


def _wants_restart(container: Container, code: int) -> bool:
    policy, _, most = container.restart.partition(":")
    if policy == "on-failure":
        return code != 0 and (not most or container.restarts < int(most))
    return policy in ("always", "unless-stopped")


def _rest(name: str, seconds: float, halt: _Halt) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(_POLL_S)
        if halt.ordered:
            os._exit(0)
        if _own(name).stopped_by_hand:
            with store.lock():
                container = _own(name)
                container.state = "exited"
                store.save_container(container)
            os._exit(0)


def _spawn(container: Container) -> int:
    """Forks the container's process; returns its pid. Raises _Unstartable when there is nothing to execute."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        try:
            _execute(container)
        except BaseException as error:
            os.write(writer, (f"{getattr(error, 'status', 125)} {error}").encode())
        os._exit(_NOT_FOUND)
    os.close(writer)
    # The pipe closes by itself when the program has taken over.
    with os.fdopen(reader) as said:
        answer = said.read()
    if answer:
        os.waitpid(pid, 0)
        status, _, reason = answer.partition(" ")
        raise _Unstartable(reason, int(status))
    return pid


class _Unstartable(Exception):
    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status


def _execute(container: Container) -> None:
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    environment = dict(item.partition("=")[::2] for item in container.env)
    os.chroot(container.root)
    Path(container.workdir).mkdir(parents=True, exist_ok=True)
    os.chdir(container.workdir)
    if not container.host_interpreter:
        # An arm64 image brings arm64 programs, and this computer simulates machines, not processors.
        print('standard_init_linux.go:190: exec user process caused "exec format error"', flush=True)
        os._exit(1)
    sys.stdout.flush()
    program = container.command[0]
    try:
        os.execvpe(program, container.command, environment)
    except FileNotFoundError:
        where = "no such file or directory" if "/" in program else "executable file not found in $PATH"
        raise _Unstartable(_OCI.format(program, where), _NOT_FOUND) from None
    except PermissionError:
        raise _Unstartable(_OCI.format(program, "permission denied"), _NOT_EXECUTABLE) from None


_OCI = (
    "OCI runtime create failed: container_linux.go:345: starting container process caused "
    '"exec: \\"{}\\": {}": unknown.'
)


def stop(container: Container, grace_s: float) -> None:
    """TERM, and KILL after `grace_s` seconds; returns when nothing runs in it. Its policy does not restart it then."""
    with store.lock():
        found = store.find_container(container.name)
        if found is None or not found.running:
            return
        found.stopped_by_hand = True
        store.save_container(found)
    if not _signalled(container.name, signal.SIGTERM, grace_s):
        _signalled(container.name, signal.SIGKILL, 10)


def kill(container: Container) -> None:
    """KILL at once; returns when its keeper is gone."""
    with store.lock():
        found = store.find_container(container.name)
        if found is None or not found.running:
            return
        found.stopped_by_hand = True
        store.save_container(found)
    _signalled(container.name, signal.SIGKILL, 10)


def _signalled(name: str, number: signal.Signals, within_s: float) -> bool:
    container = store.find_container(name)
    if container is None:
        return True
    keeper = container.keeper
    if container.pid:
        with suppress(ProcessLookupError):
            os.kill(container.pid, number)
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        container = store.find_container(name)
        if (container is None or not container.running) and not _exists(keeper):
            return True
        time.sleep(_POLL_S / 2)
    return False


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def boot() -> None:
    """What the daemon does when the machine has started: containers whose policy says so run again."""
    for container in reversed(store.containers()):
        policy = container.restart.partition(":")[0]
        with store.lock():
            if store.find_container(container.name) is not None:
                store.save_container(container)
        wanted = policy == "always" or (policy == "unless-stopped" and not container.stopped_by_hand)
        if not container.running and wanted and container.started:
            with suppress(Refused):
                start(container)
