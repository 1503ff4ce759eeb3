"""Errors of ``npu-smi``: it prints them on stdout, and its exit code can't be trusted.

Where the tool ends by ``exit(-8005)`` a shell sees 187, some refusals end with 0: only the text counts.
"""

from __future__ import annotations

import re

from hardware.npu.report import ToolError

_RET = re.compile(r"\b(?:ret|err|errno|error code|errcode)\b(?: is|\s*[:=])?\s*\(?\s*(-[0-9]{4})(?![0-9])", re.I)

_CAUSES = {
    "-8001": "A parameter is wrong.",
    "-8002": "The user may not ask this; only root may.",
    "-8003": "The machine is short of memory.",
    "-8004": "A check inside the tool failed.",
    "-8005": "The machine was not restarted after a driver or firmware change, driver and firmware don't match, "
    "the user is not in the group HwHiAiUser, or (in a container) devices or mounts are missing.",
    "-8006": "The NPU did not answer in time.",
    "-8007": "There is no NPU with this id.",
    "-8008": "There is no such NPU.",
    "-8009": "The driver refused the request.",
    "-8010": "The driver could not send to the NPU's firmware.",
    "-8011": "The NPU's firmware gave no answer to the driver.",
    "-8012": "The NPU is still starting.",
    "-8013": "This can't be asked from inside a container.",
    "-8014": "A file that the tool needs can't be read.",
    "-8015": "The NPU could not be reset.",
    "-8016": "The operation was aborted.",
    "-8017": "A firmware upgrade is going on.",
    "-8020": "Another container holds this NPU.",
    "-8023": "The NPU's configuration is missing.",
    "-8255": "This NPU does not support the question.",
    "-9005": "The board's type can't be read: the driver is not loaded.",
}
_ELSE = "The driver refused; its log in /var/log/npu says more."

# The first that is found names the error; what is found besides becomes a warning.
_PHRASES: tuple[tuple[re.Pattern[str], str, str], ...] = tuple(
    (re.compile(pattern, re.I), code, cause)
    for pattern, code, cause in (
        (
            r"There is no NPU card on this server",
            "no-npu",
            "No NPU is on the PCI bus, or the driver does not fit it.",
        ),
        (r"There is no NPU chip on this card", "no-chip", "The card is there, its chip does not answer."),
        (r"Invalid card id", "invalid-card", "No NPU has this id; ids can have gaps."),
        (r"Invalid chip id", "invalid-chip", "This NPU has no chip with this id."),
        (
            r"\b(?:device|card|npu)(?: \w+)? (?:does not|doesn't|is not) exist",
            "invalid-device",
            "There is no such NPU; ids can have gaps.",
        ),
        (
            r"does not support (?:querying|setting|this)|device does not support",
            "unsupported",
            "This NPU does not support the question.",
        ),
        (
            r"cannot be executed on a (?:VM|container)",
            "not-here",
            "This must be asked on the machine itself, not in a virtual machine or container.",
        ),
        (
            r"Command or option is not found|unknown option|invalid option",
            "unknown-option",
            "This version of npu-smi does not know the command.",
        ),
        (r"Error parameter of\b", "invalid-parameter", "npu-smi does not take this parameter, or not for this NPU."),
        (r"Input parameter format error|Must input parameter", "invalid-parameter", "A parameter is missing or wrong."),
        (r"No matrix process exists", "no-process", "No process uses the NPU."),
        (
            r"version .(?:GLIBC|CXXABI)\w*[\d.]+. not found",
            "wrong-system",
            "This npu-smi was built for a newer system: the driver's package is not that of this system.",
        ),
        (
            r"libc_sec\.so",
            "library-missing",
            "The driver's library path (/usr/local/Ascend/driver/lib64) is not set up for this user.",
        ),
        (
            r"error while loading shared libraries|cannot open shared object file|无法打开共享对象文件|共享库",
            "library-missing",
            "The driver is not completely installed, or its library path is not set up for this user.",
        ),
        (
            r"npu-smi.*(?:not found|No such file or directory|未找到|没有那个文件或目录|找不到)"
            r"|(?:not found|未找到命令|找不到命令).*npu-smi",
            "npu-smi-missing",
            "npu-smi is not installed: there is no driver.",
        ),
        (
            r"Permission denied|not permitted|root (?:user|permission|privilege)|权限不够|不允许的操作",
            "not-permitted",
            "This user may not run npu-smi or not ask this; root or a member of HwHiAiUser may.",
        ),
        (
            r"Segmentation fault|core dumped|Aborted|Bus error|段错误|核心已转储|已放弃",
            "crashed",
            "npu-smi crashed: its version and the driver's don't match, or the driver is broken.",
        ),
        (
            r"^(?:Failed to (?:execute|query|get|malloc|alloc)\b|[^:]{0,60}failed[.!]?$|\w+ failed\. )",
            "failed",
            _ELSE,
        ),
    )
)
# Every start of npu-smi may print this; it means nothing by itself.
NOISE = re.compile(r"LogLevel failed", re.I)


def read_error(lines: list[str]) -> tuple[ToolError | None, list[str]]:
    """The error that lines report, or ``None``; and the other lines that are errors too."""
    found: list[tuple[int, str, str, str]] = []
    for line in lines:
        if NOISE.search(line):
            continue
        code = _RET.search(line)
        if code:
            found.append((-1, code[1], line, _CAUSES.get(code[1], _ELSE)))
            continue
        for rank, (pattern, word, cause) in enumerate(_PHRASES):
            if pattern.search(line):
                found.append((rank, word, line, cause))
                break
    if not found:
        return None, []
    first = min(found, key=lambda one: one[0])
    return ToolError(first[1], first[2], first[3]), [line for _, _, line, _ in found if line != first[2]]
