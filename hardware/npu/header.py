"""The header of a table of ``npu-smi info``: what stands in each cell of the rows below it, by its words."""

from __future__ import annotations

import re
from functools import lru_cache

from hardware.npu.rows import IDS, PAIRS, SINGLES, Spec

# A narrow terminal may have cut the last word.
WORDS = re.compile(
    r"\b(?:(?P<npu>NPU\s?ID|NPU(?!\s*Util))|(?P<chip>Chip(?:\s?ID)?)|(?P<phy>Phy-?\s?ID)"
    r"|(?P<logic>Device|(?:Chip\s)?Logic-?\s?ID)"
    r"|(?P<name>Name)|(?P<health>Health)|(?P<bus>Bus-?\s?Id)|(?P<power>Power\s*\(W\))|(?P<temp>Temp\w*\s*\(C\))"
    r"|(?P<pages>Huge\w*(?:-?\s?Us\w*)?(?:\s*\(\w*\)?)?)|(?P<aicore>AI\s?Core(?:\s?(?:Util|Usage))?\s*\(%\))"
    r"|(?P<util>NPU\s?Util\w*\s*\(%\))|(?P<memory>(?:Mem\w+|DDR)(?:-?\s?Us\w*)?(?:\s*\(M\w*\)?)?)"
    r"|(?P<hbm>HBM(?:-?\s?Us\w*)?(?:\s*\(M\w*\)?)?))",
    re.I,
)
PROCESS_WORDS = re.compile(
    r"(?P<container>Process\s+id\s+in\s+container)|(?P<pid>Process\s+id|PID)|(?P<name>Process\s+name)"
    r"|(?P<memory>Process\s+memory\s*(?:\(\w+\))?)|(?P<npu>NPU(?:\s?ID)?)|(?P<chip>Chip(?:\s?ID)?)",
    re.I,
)
_MEASURES = {*PAIRS, *SINGLES, "util"}
UPPER: Spec = (("npu", "name"), ("health",), ("power", "temp", "pages"))
UPPER_950: Spec = (("npu",), ("name",), ("health",), ("power", "temp", "pages"))
LOWER_950: Spec = ((), (), ("bus",), ("util", "memory", "hbm"))


def kinds_of(cells: list[str], words: re.Pattern[str]) -> Spec:
    """What stands in each cell. Of a cell whose header makes no sense nothing is read."""
    return _kinds_of(tuple(cells), words)


# A fleet has few versions of the tool: the same headers a thousand times a second.
@lru_cache(maxsize=256)
def _kinds_of(cells: tuple[str, ...], words: re.Pattern[str]) -> Spec:
    spec = []
    for cell in cells:
        kinds = tuple(match.lastgroup or "" for match in words.finditer(cell))
        flat = set(kinds)
        sound = len(flat) == len(kinds) and (
            len(kinds) == 1 or flat <= _MEASURES or (flat - {"name"} <= IDS.keys() and "name" not in kinds[:-1])
        )
        spec.append(kinds if sound else ())
    return tuple(spec)


def layout(upper: Spec, lower: Spec) -> str | None:
    """Which table has this header: ``a3``, ``950``, ``hbm`` or ``ddr``."""
    kinds = {kind for cell in (*upper, *lower) for kind in cell}
    if "phy" in kinds:
        return "a3"
    if upper[:1] == (("npu",),) and len(upper) > 3:
        return "950"
    if "hbm" in kinds:
        return "hbm"
    return "ddr" if "memory" in kinds else None
