"""The few system calls that Python's ``os`` lacks: namespaces, mounts, and dying with one's parent.

They are called through libc, not through util-linux's ``unshare``: a machine is forked from a process that has all it
needs in memory, so that a restart takes a moment and four machines share one interpreter's pages.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import struct
from pathlib import Path

NEW_MOUNTS, NEW_HOSTNAME, NEW_IPC, NEW_USERS, NEW_PIDS, NEW_NETWORK = (
    0x00020000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000,
)  # fmt: skip

RDONLY, REMOUNT, BIND, MOVE, RECURSIVE, PRIVATE = 0x1, 0x20, 0x1000, 0x2000, 0x4000, 0x40000
NOSUID, NODEV, NOEXEC = 0x2, 0x4, 0x8
# statvfs flag -> mount flag: what a remount must repeat, since a user namespace may not take it away.
_LOCKED = {0x2: NOSUID, 0x4: NODEV, 0x8: NOEXEC, 0x400: 0x400, 0x800: 0x800, 0x1000: 0x200000}

_PR_SET_PDEATHSIG, _PR_SET_NAME, _PR_CAPBSET_DROP = 1, 15, 24
# MODULE, RAWIO, BOOT, TIME, MKNOD: what would reach past the machine to the host when the fleet runs as root.
_HOST_CAPABILITIES = (16, 17, 22, 25, 27)

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def enter_namespaces() -> None:
    """Leave the host's namespaces; children are in the new pid namespace. Without root's rights also its users.

    Raises ``OSError`` where the system allows no namespaces.
    """
    uid, gid = os.geteuid(), os.getegid()
    flags = NEW_MOUNTS | NEW_HOSTNAME | NEW_IPC | NEW_PIDS | NEW_NETWORK
    # The root of a container may lack the right, and still be allowed users of its own.
    if uid != 0 or _libc.unshare(flags) != 0:
        _check(_libc.unshare(flags | NEW_USERS), "unshare")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    mount("none", "/", flags=RECURSIVE | PRIVATE)


def mount(source: str | Path, target: str | Path, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2). Raises ``OSError`` that names the target."""
    arguments = [os.fsencode(str(source)), os.fsencode(str(target)), kind.encode() or None]
    _check(_libc.mount(*arguments, ctypes.c_ulong(flags), options.encode() or None), f"mount {target}")


def bind(source: str | Path, target: str | Path, *, writable: bool = False) -> None:
    """Show ``source`` at ``target``, which must exist."""
    mount(source, target, flags=BIND | RECURSIVE)
    if not writable:
        kept = os.statvfs(target).f_flag
        flags = sum(flag for bit, flag in _LOCKED.items() if kept & bit)
        mount("none", target, flags=BIND | REMOUNT | RDONLY | flags)


def change_root(root: Path) -> None:
    """Make ``root``, which is a mount, this mount namespace's ``/``."""
    os.chdir(root)
    mount(".", "/", flags=MOVE)
    os.chroot(".")
    os.chdir("/")


def set_hostname(name: str) -> None:
    encoded = name.encode()
    _check(_libc.sethostname(encoded, len(encoded)), "sethostname")


def raise_loopback() -> None:
    """Bring ``lo`` of this network namespace up."""
    up, running = 0x1, 0x40
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14x", b"lo", up | running))


def die_with_parent(parent: int) -> None:
    """KILL this process when ``parent`` (0: a parent outside this pid namespace) is gone, even by kill -9."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def set_process_name(name: str) -> None:
    """What this process is called in ps."""
    _libc.prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)


def keep_off_the_host() -> None:
    """Take the rights away that a machine's root has no use for, from all that is started from here on."""
    for capability in _HOST_CAPABILITIES:
        _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
