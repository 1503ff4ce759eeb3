"""int64 constants of a model: an NPU computes in int32, and what does not fit there is worth a look."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from jobs.conversion.errors import ConversionRefused
from jobs.conversion.skeleton import extent_of, tensors_of

SMALLEST, LARGEST = np.iinfo(np.int32).min, np.iinfo(np.int32).max


@dataclass(frozen=True)
class Int64Constants:
    """How many there are, and the names of those with a value that int32 does not hold. ``outside`` leaves out the
    open ends of slices (the largest int64), which mean "to the end" in int32 as well."""

    count: int
    outside: list[str]


def int64_constants(model: onnx.ModelProto, path: Path) -> Int64Constants:
    """Looks at every int64 tensor of a skeleton that came from ``path``."""
    count, outside = 0, []
    for tensor in tensors_of(model):
        if tensor.data_type != TensorProto.INT64:
            continue
        count += 1
        extent = extent_of(tensor, path)
        if extent is None:
            values = values_of(tensor, path.name)
        else:
            values = np.memmap(extent.path, "<i8", "r", extent.offset, (extent.length // 8,))
        ends = np.isin(values, (np.iinfo(np.int64).max, np.iinfo(np.int64).min, -(2**63) + 1))
        if bool(np.any(((values < SMALLEST) | (values > LARGEST)) & ~ends)):
            outside.append(tensor.name or "(unnamed)")
    return Int64Constants(count, outside)


def values_of(tensor: TensorProto, model: str) -> NDArray[Any]:
    """The values of a tensor that carries them itself. Raises ConversionRefused (`onnx-truncated`)."""
    try:
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as error:
        raise ConversionRefused(
            "onnx-truncated",
            f"{model} is damaged: the data of {tensor.name!r} contradicts its shape {list(tensor.dims)}.",
            "Copy the file again and compare its SHA-256 with the original's.",
        ) from error
