"""Starts a process apart and listens to what it says: `run`, and `say` in the process itself.

It speaks in lines of JSON on its standard output. What it says once it has read its input may be that input's own
words, so nothing is taken from it but the few keys below, and of them only what is of the agreed form.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import jobs
from jobs.conversion.errors import ConversionRefused

LINE_LIMIT = 64 * 1024
TEXT_LIMIT = 600
KEYS = ("sandbox", "done", "refused")


@dataclass(frozen=True)
class Ended:
    """How a process ended, in words, and the last of each that it said: `sandbox` what it gave up, `done` what it did
    (None when it did not get there)."""

    how: str
    sandbox: dict[str, Any] = field(default_factory=dict)
    done: dict[str, Any] | None = None


def say(**line: Any) -> None:
    """One line to the process that started this one: `tell` (share, text), `sandbox`, `done` or `refused`."""
    # A library may have printed the start of a line.
    os.write(1, b"\n" + json.dumps(line).encode() + b"\n")


def run(
    module: str,
    arguments: list[str],
    source: IO[bytes],
    outputs: list[int],
    tell: Callable[[float, str], None],
    seconds: float | None = None,
) -> Ended:
    """Runs `module` with `source` as its standard input and the open files `outputs`; ends it after `seconds`.

    Raises the ConversionRefused that the process says.
    """
    process = subprocess.Popen(
        [sys.executable, "-s", "-m", module, *arguments],
        stdin=source,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=outputs,
        env=_environment(),
    )
    assert process.stdout is not None
    clock = threading.Timer(seconds, process.kill) if seconds else None
    try:
        if clock:
            clock.start()
        said = _listen(process.stdout, tell)
        status = process.wait()
    finally:
        # A command that is told to stop unwinds through here.
        if clock:
            clock.cancel()
        process.kill()
        process.wait()
        process.stdout.close()
    refused = said.get("refused")
    if isinstance(refused, list) and len(refused) == 3:
        raise ConversionRefused(*(_plain(one) for one in refused))
    sandbox, done = said.get("sandbox"), said.get("done")
    return Ended(
        f"signal {-status}" if status < 0 else f"exit code {status}",
        sandbox if isinstance(sandbox, dict) else {},
        done if isinstance(done, dict) and status == 0 else None,
    )


def _environment() -> dict[str, str]:
    assert jobs.__file__ is not None
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    # A thread more would keep the process from a namespace of its own.
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**kept, "PYTHONPATH": str(Path(jobs.__file__).parents[1]), **threads}


def _listen(stream: IO[bytes], tell: Callable[[float, str], None]) -> dict[str, Any]:
    """The last line of each sort that was said."""
    said: dict[str, Any] = {}
    while raw := stream.readline(LINE_LIMIT):
        try:
            line = json.loads(raw)
        except (ValueError, RecursionError):
            continue
        if not isinstance(line, dict):
            continue
        said.update((key, line[key]) for key in KEYS if key in line)
        match line.get("tell"):
            case [float() | int() as share, str() as text]:
                tell(min(max(share, 0.0), 1.0), _plain(text))
    return said


def _plain(text: object) -> str:
    """One line of printable text."""
    return "".join(one if one.isprintable() else " " for one in str(text))[:TEXT_LIMIT]
