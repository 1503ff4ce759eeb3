"""Whether a converter did it: by its exit code, its closing line and its file, all three.

``converter_lite`` prints ERROR lines and succeeds, and some builds print them, fail and end with exit code 0. What it
and ``atc`` leave on a machine is tested in the command itself, which ends with ``NO_FILE`` when there is nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jobs.conversion.codes import explain
from jobs.failures import JobFailed

# EX_CANTCREAT of sysexits.h.
NO_FILE = 73
NOT_FOUND = 127


@dataclass(frozen=True)
class Tool:
    """``closing`` begins the line with which it ends, ``success`` that line when it did it."""

    name: str
    closing: str
    success: str
    code: str
    missing: str


ATC = Tool(
    "atc",
    "ATC run ",
    "ATC run success",
    "atc-refused",
    "Install CANN first: there is no atc.",
)
CONVERTER_LITE = Tool(
    "converter_lite",
    "CONVERT RESULT ",
    "CONVERT RESULT SUCCESS:0",
    "converter-refused",
    "Install MindSpore Lite first, and probe the machine again: there is no converter_lite.",
)

_READ_IT = "Read the step's log, mend what it names, then run the job again."


def kept(file: str) -> str:
    """The end of a command whose result is ``file`` (quoted): exit code ``NO_FILE`` when there is none."""
    return f"{{ test -s {file} || exit {NO_FILE}; }}"


def judge(tool: Tool, exit_status: int, log: str) -> dict[str, Any]:
    """The step's result, with what was complained of on the way. Raises ``JobFailed`` with the cause and the mend."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    closing = next((line for line in reversed(lines) if line.startswith(tool.closing)), "")
    succeeded = closing.startswith(tool.success)
    if exit_status == 0 and succeeded:
        complaints = [line[:300] for line in lines if "[ERROR]" in line or "[WARNING]" in line]
        return {"warnings": complaints[:20]} if complaints else {}
    if exit_status == NO_FILE and succeeded:
        raise JobFailed(
            "result-missing",
            f"{tool.name} said that it succeeded, and wrote no file of the name it was given.",
            "Look at the step's log for another name of the result, and at the room on the machine's disk.",
        )
    said = lines[-1][:300] if lines else "it said nothing"
    # A tool that lacks a library ends with the same exit code, and is there.
    if exit_status == NOT_FOUND and said.endswith("not found"):
        raise JobFailed("toolkit-missing", f"{tool.name} could not be started: {said}", tool.missing)
    explained = explain(log)
    if explained is not None:
        raise JobFailed(tool.code, f"{tool.name} refused the model: {explained.line[:300]}", explained.mend)
    without = "without its closing line" if not closing else f"with {closing!r}"
    raise JobFailed(tool.code, f"{tool.name} ended with exit code {exit_status} {without}: {said}", _READ_IT)
