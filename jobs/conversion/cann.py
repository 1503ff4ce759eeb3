"""What CANN takes: opsets by version, and the soc_version that belongs to a chip. Pure data and look-ups.

Sources: the ATC guides of CANN 7.0, 8.0 and 9.1 on hiascend.com ("--framework", "--soc_version").
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from jobs.conversion.errors import ConversionRefused

# (major, minor) of CANN: the opsets that its ATC guide names for ONNX. Other versions' guides were not seen.
OPSETS: dict[tuple[int, int], tuple[int, int]] = {(7, 0): (9, 18), (8, 0): (11, 15), (9, 1): (11, 18)}

# Names that `npu-smi info` shows and that are a soc_version when "Ascend" is put before them. 910B alone is the first
# generation's 910B; the Atlas A2 says 910B1 to 910B4.
CHIPS = re.compile(
    r"310|310P[1-9]|310B[1-9]|910A|910B|910ProA|910ProB|910PremiumA|910B[1-4]|910B2C|910B4[_-]1"
    r"|910_9[0-9]{3}|950[A-Z]{2}_95[0-9A-Za-z]+"
)
# What A3 and 950 show in the place of it.
FAMILIES = ("Ascend910", "Ascend950", "Ascend950DT", "Ascend950PR")
A3_MEND = (
    "Read NPU Name with 'npu-smi info -t board -i 0 -c 0' on the machine, Ascend910_9391 for example, and give that "
    "as soc_version."
)


@dataclass(frozen=True)
class OpsetRange:
    """The opsets that a CANN version reads; `documented_for` is the version whose guide says so."""

    lowest: int
    highest: int
    documented_for: str
    exact: bool


def opset_range(cann: str) -> OpsetRange:
    """The range for a version such as 8.0.0 or 8.2.RC1; the nearest older guide's where this one's was not seen.

    Raises ConversionRefused (`cann-version`).
    """
    match = re.match(r"(\d+)\.(\d+)", cann.strip())
    if match is None:
        raise ConversionRefused(
            "cann-version", f"{cann!r} is no version of CANN.", "Give it as the machine shows it: 8.0.0, 8.2.RC1."
        )
    asked = (int(match[1]), int(match[2]))
    known = max((version for version in OPSETS if version <= asked), default=min(OPSETS))
    lowest, highest = OPSETS[known]
    return OpsetRange(lowest, highest, f"{known[0]}.{known[1]}", exact=known == asked)


def soc_version_of(npu_name: str) -> str:
    """atc's soc_version for a chip's name: 910A -> Ascend910A.

    Raises ConversionRefused: `soc-coarse` for A3 and 950, whose tables show only the family, `soc-unknown` otherwise.
    """
    name = npu_name.strip().removeprefix("Ascend")
    if f"Ascend{name}" in FAMILIES:
        raise ConversionRefused(
            "soc-coarse", f"The name Ascend{name} is too coarse for atc: it is a family of chips.", A3_MEND
        )
    if not CHIPS.fullmatch(name):
        raise ConversionRefused(
            "soc-unknown",
            f"{npu_name.strip()!r} is no Ascend chip that this console knows.",
            "Give soc_version as Ascend and the Name that 'npu-smi info' shows, Ascend910A for example.",
        )
    return f"Ascend{name.replace('-', '_')}"


def check_soc(soc_version: str, npu_name: str) -> str:
    """The soc_version, when it is the one of the machine's chip. Raises `soc-mismatch`, `soc-coarse`, `soc-unknown`."""
    right = soc_version_of(npu_name)
    if soc_version.strip() != right:
        raise ConversionRefused(
            "soc-mismatch",
            f"soc_version {soc_version.strip()!r} is not that of the machine's chip, which is {npu_name.strip()}.",
            f"Use {right}.",
        )
    return right
