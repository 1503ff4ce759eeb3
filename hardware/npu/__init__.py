"""What ``npu-smi`` prints, as records. ``parse`` never raises, whatever the bytes are.

Read now: the table of ``npu-smi info`` and the tool's errors. Other outputs come back as layout ``unknown`` with
their text.
"""

from __future__ import annotations

from hardware.npu.errors import read_error
from hardware.npu.report import Chip, Process, Report, ToolError
from hardware.npu.table import read_table

__all__ = ["Chip", "Process", "Report", "ToolError", "parse"]


def parse(text: str | bytes, command: str = "npu-smi info") -> Report:
    """Records of one output. An unknown layout is flagged by a warning and keeps its text in ``raw``."""
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    text = text.replace("\r\n", "\n").replace("\x00", "")
    report = Report(command)
    read_table(text, report)
    if not report.chips:
        report.error = read_error(text)
    if report.layout == "unknown":
        report.raw = text
        if report.error is None:
            report.warnings.append("this layout is not known; the text is kept as it is")
    return report
