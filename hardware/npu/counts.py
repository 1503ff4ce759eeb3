"""What is summed up or picked out of ``npu-smi info -t ecc`` and ``-t health``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hardware.npu.report import Report

_COUNT = re.compile(r"(DDR|HBM|SRAM|L2)\b.*\b(Count|Cnt)$", re.I)


def ecc_errors(report: Report) -> dict[tuple[int | None, int | None], int]:
    """All counts of each chip together, by (card, chip): errors, single and double, and the pages that they cost.

    A chip for which the tool gave no count is left out.
    """
    found: dict[tuple[int | None, int | None], int] = {}
    blocks = report.fields.get("chips")
    if isinstance(blocks, list):
        places = [((block.get("npu_id"), block.get("chip_id")), block) for block in blocks]
    else:
        first = report.chips[0] if report.chips else None
        places = [((first.npu_id if first else None, first.chip_id if first else None), report.fields)]
    for place, block in places:
        counts = _counts(block)
        if counts:
            found[place] = sum(counts)
    return found


def _counts(block: Mapping[str, Any]) -> list[int]:
    return [value for label, value in block.items() if isinstance(value, int) and _COUNT.search(label)]


def fault_codes(report: Report) -> list[str] | None:
    """The codes of ``-t health`` as printed, in hexadecimal; ``None`` where the tool gave no answer to the question."""
    if "Error Code" not in report.fields:
        return None
    said = report.fields["Error Code"]
    return [] if said is None else [str(code) for code in said] if isinstance(said, list) else [str(said)]
