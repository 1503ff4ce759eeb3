"""All checks of one model together."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jobs.conversion.cann import check_soc, opset_range, soc_version_of
from jobs.conversion.checks.constants import Int64Constants, int64_constants
from jobs.conversion.checks.inspection import Inspection, inspected
from jobs.conversion.checks.operators import check_operators, check_opset
from jobs.conversion.checks.profiles import Profiles, check_profiles
from jobs.conversion.checks.shapes import check_inputs, contradictions, parse_input_shape
from jobs.conversion.checks.softmax import over_several_axes
from jobs.conversion.checks.structure import check_structure, unknown_operators
from jobs.conversion.skeleton import read_skeleton


@dataclass(frozen=True)
class CheckReport:
    """An inspection, what was checked against, and what is no reason to stop but worth a look."""

    model: Inspection
    cann: dict[str, Any] | None
    input_shape: str | None
    soc_version: str | None
    profiles: Profiles | None = None
    int64: Int64Constants | None = None
    warnings: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return asdict(self)


def check_model(
    path: Path,
    *,
    input_shape: str | None = None,
    cann: str | None = None,
    soc_version: str | None = None,
    npu_name: str | None = None,
    dynamic: bool = False,
    profiles: Profiles | None = None,
    input_format: str = "ND",
) -> CheckReport:
    """Every check for which there is something to check against. Raises ConversionRefused.

    ``dynamic`` alone says that atc gets one of its --dynamic flags whose profiles are not known here.
    """
    skeleton = read_skeleton(path)
    model = inspected(skeleton, path)
    check_structure(skeleton, path.name)
    warnings = check_opset(model, cann) if cann else []
    if cann:
        warnings += check_operators(model)
    if input_shape is not None:
        shapes = parse_input_shape(input_shape)
        check_inputs(model, shapes, dynamic=dynamic or profiles is not None)
        warnings += contradictions(model, shapes)
        if profiles is not None:
            check_profiles(model, shapes, profiles, input_format)
    if npu_name:
        soc_version = check_soc(soc_version, npu_name) if soc_version else soc_version_of(npu_name)
    elif soc_version:
        soc_version = soc_version_of(soc_version)
    if unknown := unknown_operators(skeleton, model.opset):
        warnings.append(
            f"Opset {model.opset} of ONNX has no operator {', '.join(unknown)}. atc needs a parser for each (E19010)."
        )
    foreign = [name for name in model.operators if not name.startswith("ai.onnx::")]
    if foreign:
        warnings.append(f"Operators outside ONNX: {', '.join(foreign)}. atc needs a parser for each (E19010).")
    if several := over_several_axes(skeleton, model.opset):
        shown = ", ".join(several[:5])
        warnings.append(
            f"{len(several)} Softmax, LogSoftmax or Hardmax take several axes as one, as was usual before opset 13: "
            f"{shown}. Whether atc does is not known here. Mend the model: --opset 13 says it with Flatten and Reshape."
        )
    constants = int64_constants(skeleton, path)
    if constants.outside:
        shown = ", ".join(constants.outside[:5])
        warnings.append(f"{len(constants.outside)} int64 constants have values that int32 does not hold: {shown}.")
    read = asdict(opset_range(cann)) if cann else None
    return CheckReport(model, read, input_shape, soc_version, profiles, constants, warnings)
