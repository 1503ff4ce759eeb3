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
    r"(?P<container>Process\s+id\s+in\s+container)|(?P<pid>Process\s+id?\b|PID)|(?P<name>Process\s+name)"
    r"|(?P<memory>Process\s+memory\s*(?:\(\w+\))?)|(?P<npu>NPU(?:\s?ID)?)|(?P<chip>Chip(?:\s?ID)?)",
    re.I,
)
_MEASURES = {*PAIRS, *SINGLES, "util"}
UPPER: Spec = (("npu", "name"), ("health",), ("power", "temp", "pages"))
UPPER_950: Spec = (("npu",), ("name",), ("health",), ("power", "temp", "pages"))
LOWER_950: Spec = ((), (), ("bus",), ("util", "memory", "hbm"))


def kinds_of(cells: list[str], words: re.Pattern[str]) -> Spec:
    """What stands in each cell. Of a cell whose header makes no sense, or says what stands in one before it, nothing is
    read.
    """
    return _kinds_of(tuple(cells), words)


# A fleet has few versions of the tool: the same headers a thousand times a second.
@lru_cache(maxsize=256)
def _kinds_of(cells: tuple[str, ...], words: re.Pattern[str]) -> Spec:
    spec: list[tuple[str, ...]] = []
    before: set[str] = set()
    for cell in cells:
        kinds = tuple(match.lastgroup or "" for match in words.finditer(cell))
        flat = set(kinds)
        sound = (
            len(flat) == len(kinds)
            and not flat & before
            and (len(kinds) == 1 or flat <= _MEASURES or (flat - {"name"} <= IDS.keys() and "name" not in kinds[:-1]))
        )
        spec.append(kinds if sound else ())
        before |= flat
    return tuple(spec)


def tells_chips_apart(upper: Spec, lower: Spec) -> bool:
    """Whether the rows below say which chip they are of. Where the left of a table was cut off they don't."""
    kinds = {kind for cell in (*upper, *lower) for kind in cell}
    return "npu" in kinds and ("chip" in kinds or layout(upper, lower) == "950")


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
