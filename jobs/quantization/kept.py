"""The scheme's own result, put aside: a budget's trials copy 4-bit weights from it and need not find them again."""

from __future__ import annotations

from pathlib import Path

from jobs.quantization.choice import Chosen
from jobs.quantization.kernel import Kernel
from jobs.quantization.output import Output
from jobs.quantization.rewrite import Planned
from jobs.quantization.written import Written


class Kept:
    """What was written, moved to `path`."""

    def __init__(self, written: Written, path: Path) -> None:
        written.output.data.replace(path)
        self._path = path
        self._places = {_key(plan): written.output.pieces[plan.name].offset for plan in written.planned}
        self._snr = {weight.name: result.snr_db for weight, result in written.weights if weight.blocks}

    def copy(self, weight: Chosen, plans: list[Planned], output: Output, file: int, kernel: Kernel) -> float:
        """Copies all of a 4-bit weight to its places in `output`, and gives its signal-to-noise in dB."""
        for plan in plans:
            at = output.pieces[plan.name].offset
            kernel.copy(str(self._path), self._places[_key(plan)], plan.bytes, file, at, lambda count: None)
        return self._snr[weight.name]


def _key(plan: Planned) -> tuple[str, str, tuple[int, ...]]:
    return plan.weight.name, plan.role, plan.dims
