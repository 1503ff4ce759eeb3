"""How the pure libraries speak when they are run as commands.

Progress lines go to stdout as they come, flushed; with ``--json`` to stderr, and stdout has the report alone, one JSON
object in one line. Exit codes: 0 done, 2 refused (stderr ends with one line: what is wrong and the mend), 3 a budget is
not held, 1 a defect of the console's own (one line as well, with the place in the code), 143 or 130 told to stop, 141
nobody reads what it says any more (``| head``): nothing half done is left.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TextIO

from jobs.conversion.errors import ConversionRefused

DONE, DEFECT, REFUSED, UNHEARD = 0, 1, 2, 128 + signal.SIGPIPE


class Parser(argparse.ArgumentParser):
    """An argument parser whose refusal is one line, as every other refusal here."""

    def error(self, message: str) -> NoReturn:
        print(f"{message[:1].upper()}{message[1:]}. See {self.prog} --help.", file=sys.stderr)
        raise SystemExit(REFUSED)


def say(share: float, line: str) -> None:
    """One progress line: how much is done, and what was."""
    _print(f"[{share * 100:3.0f} %] {line}", sys.stdout)


def refuse_place(report: Path, *others: Path | None) -> None:
    """Raises ConversionRefused before anything is made, when the report has no place or would overwrite a file."""
    if any(other and report.resolve() == other.resolve() for other in others):
        raise ConversionRefused(
            "output-is-input", f"The report would overwrite {report.name}.", "Name another file for it."
        )
    if report.is_dir() or not os.access(report.resolve().parent, os.W_OK):
        raise ConversionRefused(
            "not-writable", f"The report cannot be written to {report}.", "Check the folder and its rights."
        )


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(report, ensure_ascii=False), encoding="utf-8")
    part.replace(path)


def carry_out(work: Callable[[], dict[str, Any]], *, as_json: bool) -> int:
    """Runs `work`, prints its report and gives the exit code. TERM and Ctrl-C unwind, so that temporary
    files go."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    try:
        with redirect_stdout(sys.stderr if as_json else sys.stdout):
            report = work()
    except ConversionRefused as refused:
        _print(" ".join(str(refused).split()), sys.stderr)
        return refused.exit_status
    except Exception as error:  # a person reads this: the place is enough to find it
        place = traceback.extract_tb(error.__traceback__)[-1]
        said = " ".join(f"{type(error).__name__} {error}".split())[:300]
        _print(f"A defect of the console: {said} ({place.filename}, line {place.lineno}). Report it.", sys.stderr)
        return DEFECT
    if as_json:
        _print(json.dumps(report, ensure_ascii=False), sys.stdout)
    else:
        for key, value in report.items():
            told = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
            _print(f"{key}: {told}", sys.stdout)
    return DONE


def _print(line: str, stream: TextIO) -> None:
    """Raises SystemExit when nobody reads it any more: what is half done goes, as when it is told to stop."""
    try:
        print(line, file=stream, flush=True)
    except BrokenPipeError:
        # Else Python tries to flush it once more as it ends, and complains.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise SystemExit(UNHEARD) from None


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
