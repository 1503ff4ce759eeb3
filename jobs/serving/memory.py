"""When there is no memory for a batch: what that looks like from each engine, and a budget that ends it sooner."""

from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path

# ONNX Runtime's arena, C++'s allocator, and what CANN calls it: EL0004, ACL's 200000 and 207001.
_SAYS = re.compile(
    r"failed to allocate memory|bad_alloc|bad allocation|out of memory|\bEL0004\b|\b207001\b|ACL_ERROR_BAD_ALLOC"
    r"|error code:? ?200000|rt_?malloc fail",
    re.IGNORECASE,
)
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20


class OutOfMemory(Exception):
    """There was no memory for so many `texts` at once; `why` is the engine's word, or the budget."""

    def __init__(self, texts: int, why: str) -> None:
        super().__init__(f"no memory for {texts} texts at once: {why}")
        self.texts = texts


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an engine's error means that it got no memory. The engines have no class for it, only words."""
    return isinstance(error, MemoryError | OutOfMemory) or bool(_SAYS.search(str(error)))


def resident_mb() -> float:
    """What this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_MB


class Budget:
    """`most_mb` of resident memory for the whole process; 0: whatever there is.

    Above it no further batch is begun: a refused request can be asked elsewhere, a process that the kernel kills takes
    all its requests along.
    """

    def __init__(self, most_mb: int) -> None:
        self.most_mb = most_mb

    def check(self, texts: int) -> None:
        """Raises OutOfMemory."""
        if not self.most_mb or resident_mb() <= self.most_mb:
            return
        _give_back()
        used = resident_mb()
        if used > self.most_mb:
            raise OutOfMemory(texts, f"the process has {used:.0f} MB, its budget is {self.most_mb} MB")


def _give_back() -> None:
    """What the C library keeps for later goes back to the system first; not every C library can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
