"""Finding the moment for a fault by looking at the database and at the machine, and what must be true after it."""

from __future__ import annotations

import hashlib
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from hardware.ssh.supervisor import RUNS_DIR
from jobs.models import Job, JobStep
from jobs.states import JobState
from tests.faults.processes import Process
from tests.worker import log_of

SECONDS = 120


def until(moment: Callable[[], object], seconds: float = SECONDS) -> None:
    """Return as soon as ``moment()`` is true."""
    deadline = time.monotonic() + seconds
    while not moment():
        assert time.monotonic() < deadline, "the moment did not come"
        time.sleep(0.005)


def first(job: Job) -> JobStep:
    """The job's first step as it is stored now."""
    return job.steps.order_by("position")[0]


def lines(job: Job) -> int:
    """How many lines of the job's log are stored."""
    return log_of(job).count(b"\n")


def folder(job: Job) -> Path:
    """Where the run of the first step lies, on a machine that is this host."""
    return Path(RUNS_DIR) / first(job).run_id


def remove(run: Path) -> None:
    """Take a run's folder away, whatever is being written there."""
    until(lambda: shutil.rmtree(run, ignore_errors=True) or not run.exists())


@contextmanager
def database_locked() -> Iterator[None]:
    """Nobody else can write meanwhile."""
    holder = sqlite3.connect(settings.DATABASES["default"]["NAME"], timeout=SECONDS, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        holder.rollback()
        holder.close()


def is_locked() -> bool:
    """Whether somebody is in the midst of a write."""
    asker = sqlite3.connect(settings.DATABASES["default"]["NAME"], timeout=0, isolation_level=None)
    try:
        asker.execute("BEGIN IMMEDIATE")
        asker.rollback()
    except sqlite3.OperationalError:
        return True
    finally:
        asker.close()
    return False


def stop(process: Process) -> None:
    """Stop a worker's process where it is, but not in the midst of a write: that would hold up its successor."""
    with database_locked():
        process.send_signal(signal.SIGSTOP)
        # A signal is sent, not yet obeyed: each thread stops when it next leaves the kernel.
        until(lambda: all(state(task) == "T" for task in Path(f"/proc/{process.pid}/task").iterdir()))


def state(task: Path) -> str:
    """What a thread does, by the letter of proc(5): T for one that is stopped."""
    return (task / "stat").read_text().rpartition(")")[2].split()[0]


def lives(pid: str) -> bool:
    """Whether a process runs; one that has ended but was not reaped yet has no command line."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False


def expire(job: Job) -> None:
    """The lease of a worker that is dead runs out now."""
    Job.objects.filter(pk=job.pk).update(lease_until="2000-01-01T00:00Z")


def counting(count: Path, number: int = 30, pause: float = 0.01, gate: Path | None = None) -> str:
    """A command that notes each of its starts in ``count`` and writes ``number`` lines, ``pause`` seconds apart.

    With ``gate`` it stands before line 20 until there is that file.
    """
    wait = f"if [ $i = 20 ]; then until [ -e {gate} ]; do sleep 0.02; done; fi; " if gate else ""
    body = f"i=$((i+1)); {wait}echo line $i; sleep {pause}"
    return f"echo started >>{count}; i=0; while [ $i -lt {number} ]; do {body}; done"


def written(number: int = 30) -> bytes:
    """What ``counting`` writes."""
    return "".join(f"line {i}\n" for i in range(1, number + 1)).encode()


def assert_whole(job: Job, count: Path, log: bytes, *, attempt: int | None = None) -> None:
    """It ended well, was started once, and its log is what the command wrote: neither gap nor repeat."""
    job.refresh_from_db()
    assert job.state == JobState.SUCCEEDED, job.failure or job.traceback
    assert count.read_text() == "started\n"
    assert log_of(job) == log and job.log_length == len(log)
    assert first(job).log_sha256 == hashlib.sha256(log).hexdigest()
    if attempt is not None:
        assert job.attempt == attempt
