"""Errors of ``npu-smi``: it prints them on stdout, and its exit code can't be trusted (FACTS: npu_info sources)."""

from __future__ import annotations

import re

from hardware.npu.report import ToolError

_RET = re.compile(r"ret(?: is|=)\s*\(?(-\d{4})")

_CAUSES = {
    "-8005": "The machine was not restarted after a driver or firmware change, driver and firmware don't match, "
    "or the user is not in the group HwHiAiUser.",
    "-8020": "Another container holds this NPU.",
    "-8008": "There is no such NPU.",
    "-8001": "A parameter is wrong.",
    "-8002": "The user may not ask this; only root may.",
    "-8006": "The NPU did not answer in time.",
    "-8012": "The NPU is still starting.",
    "-8013": "This can't be asked from inside a container.",
    "-8255": "This NPU does not support the question.",
    "-9005": "The board's type can't be read: the driver is not loaded.",
}
_PHRASES = [
    ("There is no NPU card on this server", "no-npu", "No NPU is on the PCI bus, or the driver does not fit it."),
    ("There is no NPU chip on this card", "no-chip", "The card is there, its chip does not answer."),
    ("Invalid card id", "invalid-card", "No NPU has this id; ids can have gaps."),
    ("Command or option is not found", "unknown-option", "This version of npu-smi does not know the command."),
    ("does not support querying", "unsupported", "This NPU does not support the question."),
    ("libc_sec.so", "library-missing", "The driver's library path is not set up for this user."),
    ("cannot open shared object file", "library-missing", "The driver is not completely installed."),
    ("not found", "npu-smi-missing", "npu-smi is not installed: there is no driver."),
    ("No such file or directory", "npu-smi-missing", "npu-smi is not installed: there is no driver."),
]


def read_error(text: str) -> ToolError | None:
    """The error that a text reports, or ``None``."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in reversed(lines):
        found = _RET.search(line)
        if found and "LogLevel" not in line:
            code = found.group(1)
            return ToolError(code, line, _CAUSES.get(code, "The driver refused; its log in /var/log/npu says more."))
    for phrase, code, cause in _PHRASES:
        for line in lines:
            if phrase in line:
                return ToolError(code, line, cause)
    return None
