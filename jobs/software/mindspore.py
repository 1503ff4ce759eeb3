"""MindSpore on a machine: the command that checks it, and what its answer means.

``run_check`` ends with exit code 0 however it went, and without an NPU it is content with the processor: only its
closing line, with the platform in it, is a proof.
"""

from __future__ import annotations

import re
from typing import Any

from jobs.failures import JobFailed
from jobs.software.cann import LOAD

# What it prints -> what to do; the first that is found counts.
_MENDS = (
    (r"libascend_hal\.so", "Install the driver and restart the machine: MindSpore finds no driver library."),
    (
        r"lib\w+\.so[\d.]*: cannot open shared object file",
        "Install the CANN that this MindSpore was released with: it lacks the library that the message names.",
    ),
    (
        r"No module named '([\w.]+)'",
        "Ingest the wheel of {0}, name it among the further packages, then install MindSpore again.",
    ),
    (
        r"Unsupported device target Ascend",
        "Install driver and CANN, and a MindSpore wheel that was built for Ascend; then check again.",
    ),
)


def check_command(python: str, version: str) -> str:
    """The check on the NPU. From 2.5 on, ``set_device`` takes the place of the context."""
    major, minor = (int(part) for part in [*re.findall(r"\d+", version), "0", "0"][:2])
    choose = "set_device('Ascend')" if (major, minor) >= (2, 5) else "set_context(device_target='Ascend')"
    return f'{LOAD} && {python} -c "import mindspore; mindspore.{choose}; mindspore.run_check()"'


def judge_check(title: str, exit_status: int, log: str) -> dict[str, Any]:
    """The closing line and its warnings. Raises ``JobFailed`` with what it said and what to do."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    closing = next((line for line in lines if "has been installed on platform" in line), "")
    if exit_status == 0 and "platform [Ascend] successfully" in closing:
        # A warning of versions that do not match is no failure of the check; it is told with the result.
        warnings = [line for line in lines if "does not match, the version of software package" in line]
        return {"mindspore_check": closing, "warnings": warnings}
    if closing:
        raise JobFailed(
            "mindspore-not-on-npu",
            f"{title}: it ran, but not on an NPU: {closing}",
            "Install a MindSpore wheel that was built for Ascend.",
        )
    for pattern, mend in _MENDS:
        found = re.search(pattern, log)
        if found:
            said = next(line for line in lines if found.group() in line)
            raise JobFailed("mindspore-check-failed", f"{title}: {said[:300]}", mend.format(*found.groups()))
    said = lines[-1] if lines else "it said nothing"
    raise JobFailed(
        "mindspore-check-failed",
        f"{title} ended with exit code {exit_status}: {said[:300]}",
        "Read the step's log, mend what it names, then check again.",
    )
