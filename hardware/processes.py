"""Child processes of ours."""

from __future__ import annotations

import ctypes
import signal

PR_SET_PDEATHSIG = 1


def die_with_parent(number: int = signal.SIGTERM) -> None:
    """For ``preexec_fn``: the kernel (Linux) sends the signal when the parent is gone, even after kill -9."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
