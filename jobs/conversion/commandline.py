"""How the pure libraries speak when they are run as commands.

Progress lines go to stdout as they come, flushed; with ``--json`` the last line of stdout is the report, one JSON
object. Exit codes: 0 done, 2 refused (one line on stderr: what is wrong and the mend), 3 a budget is not held.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from jobs.conversion.errors import ConversionRefused

DONE, REFUSED = 0, 2


class Parser(argparse.ArgumentParser):
    """An argument parser whose refusal is one line, as every other refusal here."""

    def error(self, message: str) -> NoReturn:
        print(f"{message[:1].upper()}{message[1:]}. See {self.prog} --help.", file=sys.stderr)
        raise SystemExit(REFUSED)


def say(share: float, line: str) -> None:
    """One progress line: how much is done, and what was."""
    print(f"[{share * 100:3.0f} %] {line}", flush=True)


def carry_out(work: Callable[[], dict[str, Any]], *, as_json: bool) -> int:
    """Runs `work`, prints its report and gives the exit code. A refusal, and only that, becomes one line."""
    try:
        report = work()
    except ConversionRefused as refused:
        print(" ".join(str(refused).split()), file=sys.stderr, flush=True)
        return REFUSED
    if as_json:
        print(json.dumps(report, ensure_ascii=False), flush=True)
    else:
        for key, value in report.items():
            print(f"{key}: {json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value}")
    return DONE
