"""What ``npu-smi`` and its kin print, as records. ``parse`` never raises, whatever the bytes are.

``parse`` reads one output of ``npu-smi`` or several that were pasted one after another; ``docs/npu.md`` says what
comes out. ``versions``, ``hccn`` and ``pci`` beside it read the driver's own files, ``hccn_tool`` and ``lspci``.
"""

from __future__ import annotations

import logging

from hardware.npu import reading, text
from hardware.npu.report import Chip, Process, Report, ReportJson, ToolError

__all__ = ["Chip", "Process", "Report", "ReportJson", "ToolError", "parse"]

log = logging.getLogger(__name__)


def parse(output: str | bytes, command: str | None = None) -> Report:
    """Records of what was printed. ``command`` is what was run, where the caller knows; a paste may show it itself.

    An unknown layout is flagged by a warning and keeps its text in ``fields["raw"]``.
    """
    raw = text.decode(output) if isinstance(output, bytes) else output
    try:
        return reading.read(raw, command)
    except Exception as wrong:
        # One odd text must not end a collector that reads a thousand others; the tests ask ``reading`` itself.
        log.exception("an output of npu-smi of %d signs could not be read", len(raw))
        return reading.unread(raw, f"the reader has a bug that this text shows ({wrong!r}); the text is kept as it is")
