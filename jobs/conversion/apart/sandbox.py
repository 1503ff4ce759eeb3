"""What a process gives up before it reads a file that a stranger made.

Three layers, none of which needs a privilege: limits of the kernel (memory, processor time, size of the output, no new
process), an own user and network namespace where the system lets one be made, and a filter of system calls that leaves
those that reading, computing and writing to open files need. What a system does not have is told, not passed over.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
from dataclasses import asdict, dataclass
from typing import Any

GIB = 1024**3
# Of memory that is the process's own: maps of files are not counted.
MEMORY = 1 * GIB
FILES = 32
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
SET_FILTER, EVERY_THREAD = 1, 1  # SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
# linux/bpf_common.h and linux/seccomp.h.
LOAD, JUMP_EQUAL, JUMP_AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050001  # SECCOMP_RET_ERRNO with EPERM
X32 = 0x40000000
# audit.h's number of the architecture, that of seccomp, and its numbers of: read, write, close, fstat, newfstatat,
# lseek, mmap, mprotect, munmap, mremap, madvise, brk, pread64, pwrite64, readv, writev, futex, rt_sigaction,
# rt_sigprocmask, rt_sigreturn, sigaltstack, sched_yield, clock_gettime, getrandom, getpid, gettid, fcntl, exit,
# exit_group. No open, no socket, no execve.
CALLS: dict[str, tuple[int, int, tuple[int, ...]]] = {
    "x86_64": (
        0xC000003E,
        317,
        (0, 1, 3, 5, 262, 8, 9, 10, 11, 25, 28, 12, 17, 18, 19, 20, 202, 13, 14, 15,
         131, 24, 228, 318, 39, 186, 72, 60, 231),
    ),
    "aarch64": (
        0xC00000B7,
        277,
        (63, 64, 57, 80, 79, 62, 222, 226, 215, 216, 233, 214, 67, 68, 65, 66, 98, 134, 135, 139,
         132, 124, 113, 278, 172, 178, 25, 93, 94),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Sandbox:
    """What holds. `system_calls` and `network` say in words how, or why not; `filtered` whether the first does."""

    memory_bytes: int
    cpu_seconds: int
    output_bytes: int
    system_calls: str
    network: str
    filtered: bool

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)


def enter(output_bytes: int, cpu_seconds: int, memory_bytes: int = MEMORY) -> Sandbox:
    """Gives everything up, for good. Whatever is imported later cannot be: call it when all modules are loaded."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    limits = (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_DATA, memory_bytes),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_FSIZE, output_bytes),
        (resource.RLIMIT_NOFILE, FILES),
        (resource.RLIMIT_NPROC, 0),
    )
    for what, limit in limits:
        most = resource.getrlimit(what)[1]
        value = limit if most == resource.RLIM_INFINITY else min(limit, most)
        resource.setrlimit(what, (value, value))
    apart = "" if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 else os.strerror(ctypes.get_errno())
    filtered = _filter(libc)
    calls = f"{len(CALLS[platform.machine()][2])} are let through (seccomp)" if not filtered else f"all: {filtered}"
    ways = [*([] if filtered else ["no sockets (seccomp)"]), *([] if apart else ["a network namespace of its own"])]
    network = ", ".join(ways) or f"not kept from it: {apart}; {filtered}"
    return Sandbox(memory_bytes, cpu_seconds, output_bytes, calls, network, not filtered)


def _filter(libc: ctypes.CDLL) -> str:
    """Sets the filter, for threads that a library may have started as well; the reason when that cannot be done."""
    if platform.machine() not in CALLS:
        return f"no filter is known for {platform.machine()}"
    architecture, seccomp, numbers = CALLS[platform.machine()]
    count = len(numbers)
    # Each line: operation, how many lines to skip if true, if false, and the value.
    lines = [
        (LOAD, 0, 0, 4),
        (JUMP_EQUAL, 1, 0, architecture),
        (RETURN, 0, 0, REFUSE),
        (LOAD, 0, 0, 0),
        (JUMP_AT_LEAST, count, 0, X32),
        *((JUMP_EQUAL, count - index, 0, number) for index, number in enumerate(numbers)),
        (RETURN, 0, 0, REFUSE),
        (RETURN, 0, 0, ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *line) for line in lines))
    program = struct.pack("@HxxxxxxP", len(lines), ctypes.addressof(code))
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return os.strerror(ctypes.get_errno())
    # Other than 0: the number of a thread that has filters of its own, or -1.
    if kept := libc.syscall(*map(ctypes.c_long, (seccomp, SET_FILTER, EVERY_THREAD)), program):
        return f"thread {kept} cannot be held" if kept > 0 else os.strerror(ctypes.get_errno())
    return ""
