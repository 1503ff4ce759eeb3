"""Whether what was written is ONNX."""

from __future__ import annotations

from pathlib import Path

import onnx

from jobs.conversion.skeleton import read_skeleton
from jobs.quantization.errors import QuantizationRefused
from jobs.quantization.output import Output


def check(output: Output, source: Path, folder: Path) -> None:
    """onnx.checker on the result; its weights, which it does not look at, are left out of memory.

    Raises QuantizationRefused: `model-invalid` when the source is no better, else `result-invalid`.
    """
    path = output.path
    try:
        if output.inline:
            path = folder / "skeleton.onnx"
            path.write_bytes(read_skeleton(output.path).SerializeToString())
        onnx.checker.check_model(str(path))
    except onnx.checker.ValidationError as error:
        reason = " ".join(str(error).split())[:300]
        try:
            onnx.checker.check_model(str(source))
        # Whatever the checker cannot take, this source included, was so before.
        except Exception:
            raise QuantizationRefused(
                "model-invalid", f"{source.name} is not valid ONNX: {reason}", "Export the model again."
            ) from error
        raise QuantizationRefused(
            "result-invalid", f"What was made of {source.name} is not valid ONNX: {reason}", "Report this."
        ) from error
    finally:
        if path is not output.path:
            path.unlink(missing_ok=True)
