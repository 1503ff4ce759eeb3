"""Open sizes of the inputs made fixed."""

from __future__ import annotations

import onnx

from jobs.conversion.checks.inspection import Inspection
from jobs.conversion.checks.shapes import Shape, check_inputs
from jobs.conversion.errors import ConversionRefused
from jobs.conversion.mend.values import value_infos


def fix_shapes(model: onnx.ModelProto, inspection: Inspection, shapes: dict[str, Shape]) -> int:
    """Gives inputs these sizes, and every size of the same name with them; how many became fixed.

    Raises what `check_inputs` does, but for inputs that are left out, and `input-contradiction`.
    """
    asked = {port.name for port in inspection.inputs} & set(shapes)
    rest = [port for port in inspection.inputs if port.name in asked or port.name not in shapes]
    check_inputs(Inspection(**{**inspection.__dict__, "inputs": [port for port in rest if port.name in asked]}), shapes)
    sizes: dict[str, int] = {}
    count = 0
    for value in model.graph.input:
        for position, wanted in enumerate(shapes.get(value.name, ())):
            dim = value.type.tensor_type.shape.dim[position]
            if dim.dim_param and sizes.setdefault(dim.dim_param, wanted) != wanted:
                raise ConversionRefused(
                    "input-contradiction",
                    f"{dim.dim_param} is one size in {inspection.name}, and is asked to be {sizes[dim.dim_param]} and "
                    f"{wanted}.",
                    "Give every input that has it the same size.",
                )
            if not dim.HasField("dim_value"):
                dim.dim_value = wanted
                count += 1
    for value in value_infos(model.graph):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in sizes:
                dim.dim_value = sizes[dim.dim_param]
                count += value.name in {port.name for port in inspection.inputs}
    # What was inferred before knew less.
    del model.graph.value_info[:]
    return count
