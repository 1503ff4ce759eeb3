"""Whether a model is ONNX: what was given before the work, and what was written after it.

onnx.checker looks at no weight, so that the graph without them is enough, whatever the size of the model.
"""

from __future__ import annotations

import onnx
from onnx import TensorProto

from jobs.conversion.skeleton import read_skeleton, tensors_of
from jobs.quantization.errors import QuantizationRefused
from jobs.quantization.output import Output


def refuse_invalid(model: onnx.ModelProto, name: str) -> None:
    """Raises QuantizationRefused (`model-invalid`) for a graph that onnx.checker does not take."""
    if reason := _flaw(model):
        raise QuantizationRefused("model-invalid", f"{name} is not valid ONNX: {reason}", "Export the model again.")


def check(output: Output, name: str) -> None:
    """Raises QuantizationRefused (`result-invalid`) when what was made of the model `name` is not ONNX."""
    if reason := _flaw(read_skeleton(output.path)):
        raise QuantizationRefused(
            "result-invalid", f"What was made of {name} is not valid ONNX: {reason}", "Report this."
        )


def _flaw(model: onnx.ModelProto) -> str:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for tensor in tensors_of(copy):
        if tensor.data_location == TensorProto.EXTERNAL:
            tensor.ClearField("data_location")
            tensor.ClearField("external_data")
            # It compares the length of what is there with the shape, and the shape with nothing.
            tensor.dims[:] = [0]
    for value in (*copy.graph.input, *copy.graph.output):
        if value.type.HasField("tensor_type"):
            # Without a shape it is of any rank, says the standard, and every runtime; the checker wants one.
            value.type.tensor_type.shape.SetInParent()
    try:
        onnx.checker.check_model(copy)
    except (onnx.checker.ValidationError, ValueError) as error:
        return " ".join(str(error).split())[:300]
    return ""
