"""How the pure libraries speak when they are run as commands.

Progress lines go to stdout as they come, flushed; with ``--json`` the last line of stdout is the report, one JSON
object. Exit codes: 0 done, 2 refused (one line on stderr: what is wrong and the mend), 3 a budget is not held, 1 a
defect of the console's own (one line as well, with the place in the code), 143 told to stop: nothing half done is left.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from jobs.conversion.errors import ConversionRefused

DONE, DEFECT, REFUSED, STOPPED = 0, 1, 2, 128 + signal.SIGTERM


class Parser(argparse.ArgumentParser):
    """An argument parser whose refusal is one line, as every other refusal here."""

    def error(self, message: str) -> NoReturn:
        print(f"{message[:1].upper()}{message[1:]}. See {self.prog} --help.", file=sys.stderr)
        raise SystemExit(REFUSED)


def say(share: float, line: str) -> None:
    """One progress line: how much is done, and what was."""
    print(f"[{share * 100:3.0f} %] {line}", flush=True)


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
    """Runs `work`, prints its report and gives the exit code. TERM unwinds, so that temporary files go."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        report = work()
    except ConversionRefused as refused:
        print(" ".join(str(refused).split()), file=sys.stderr, flush=True)
        return refused.exit_status
    except Exception as error:  # a person reads this: the place is enough to find it
        place = traceback.extract_tb(error.__traceback__)[-1]
        said = " ".join(f"{type(error).__name__} {error}".split())[:300]
        print(f"A defect of the console: {said} ({place.filename}, line {place.lineno}). Report it.", file=sys.stderr)
        return DEFECT
    if as_json:
        print(json.dumps(report, ensure_ascii=False), flush=True)
    else:
        for key, value in report.items():
            print(f"{key}: {json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value}")
    return DONE


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(STOPPED)
