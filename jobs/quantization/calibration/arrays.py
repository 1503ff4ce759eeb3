"""Arrays as a model's inputs: whether they fit, and how they become feeds of one row."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from jobs.conversion.checks import Port
from jobs.quantization.errors import QuantizationRefused
from jobs.quantization.samples import KINDS, Feed

MEND = "Give .npz files with an array for each of the model's inputs, rows first."


def read_npz(stream: IO[bytes], name: str) -> dict[str, NDArray[Any]]:
    """All arrays of an .npz. Raises QuantizationRefused (`calibration-invalid`)."""
    try:
        with np.load(stream, allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error, AttributeError) as error:
        raise refuse(f"{name} cannot be read: {error}.") from error


def feeds_of(arrays: Mapping[str, NDArray[Any]], inputs: list[Port], name: str, most: int) -> list[Feed]:
    """At most `most` feeds, in the inputs' own types; the first axis of every array is its rows.

    An array with an axis too few is one row. A model whose batch is fixed gets that many rows at once, and what is left
    over is not used. Arrays with different numbers of rows that all have the inputs' own shapes are one feed: of a
    recurrent layer's state the first axis is no batch. An input that is a single number has one for each row, or one
    for all. Raises QuantizationRefused (`calibration-invalid`).
    """
    missing = [port.name for port in inputs if port.name not in arrays]
    if missing:
        raise refuse(f"{name} has no array for the input {', '.join(missing)}.")
    fitted = {port.name: _fitted(arrays[port.name], port, name) for port in inputs}
    rows = {len(value) for value in fitted.values() if value.ndim} or {1}
    if len(rows) != 1 and all(_is_whole(fitted[port.name], port) for port in inputs):
        return [fitted]
    if len(rows) != 1 or not min(rows):
        raise refuse(f"The arrays in {name} have different numbers of rows: {sorted(rows)}.")
    batches = {port.shape[0] for port in inputs if port.shape and isinstance(port.shape[0], int)}
    batch = max([size for size in batches if isinstance(size, int)], default=1) or 1
    count = min(min(rows) // batch, most)
    if not count:
        raise refuse(f"{name} has {min(rows)} rows, and the model takes {batch} at once.")
    single = {port.name for port in inputs if not port.shape}
    return [
        {key: _rows(value, row, batch, key in single) for key, value in fitted.items()} for row in range(count)
    ]  # fmt: skip


def _rows(value: NDArray[Any], row: int, batch: int, single: bool) -> NDArray[Any]:
    if single and value.ndim < 2:
        return np.asarray(value[row * batch] if value.ndim else value)
    return value[row * batch : (row + 1) * batch]


def _is_whole(value: NDArray[Any], port: Port) -> bool:
    """Whether it is what the input takes at once; what has no shape told may be anything."""
    fixed = [not isinstance(want, int) or want == size for want, size in zip(port.shape, value.shape, strict=False)]
    return not port.shape or (value.ndim == len(port.shape) and all(fixed))


def _fitted(array: NDArray[Any], port: Port, name: str) -> NDArray[Any]:
    if array.dtype.kind not in "biuf":
        raise refuse(f"{port.name} in {name} holds no numbers ({array.dtype}).")
    if not port.shape:
        return array.astype(KINDS.get(port.type, array.dtype), copy=False)
    if array.ndim == len(port.shape) - 1:
        array = array[None]
    wanted = [size if isinstance(size, int) else None for size in port.shape[1:]]
    fits = array.ndim == len(port.shape) and array.ndim > 0
    if not fits or any(want not in (None, size) for want, size in zip(wanted, array.shape[1:], strict=True)):
        shape = " x ".join(str(size or "any") for size in port.shape)
        raise refuse(
            f"{port.name} in {name} has the shape {' x '.join(map(str, array.shape))}, and the model takes {shape}."
        )
    return array.astype(KINDS.get(port.type, array.dtype), copy=False)


def refuse(what: str, mend: str = MEND) -> QuantizationRefused:
    """A sample that cannot be used."""
    return QuantizationRefused("calibration-invalid", what, mend)
