"""What a model's file says of itself when it is ingested: its format, and of an ONNX its opset, inputs and outputs."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any

from jobs.conversion.checks import Port, inspect
from jobs.conversion.errors import ConversionRefused

FORMATS = {".onnx": "onnx", ".om": "om", ".mindir": "mindir", ".air": "air"}


def read_model(path: Path, name: str) -> dict[str, Any]:
    """``format`` by the name; of an ONNX ``opset``, ``inputs`` and ``outputs`` as (name, type, shape).

    A dimension is a number, a name where it is free, or ``None``. Only the graph is read, not the weights. What is no
    ONNX after all is stored as any file is: the job that uses it says what is wrong with it.
    """
    form = FORMATS.get(PurePath(name).suffix.lower())
    if form is None:
        return {}
    if form != "onnx":
        return {"format": form}
    try:
        found = inspect(path)
    except ConversionRefused:
        return {"format": form}
    return {
        "format": form,
        "opset": found.opset,
        "inputs": [_port(port) for port in found.inputs],
        "outputs": [_port(port) for port in found.outputs],
    }


def _port(port: Port) -> dict[str, Any]:
    return {"name": port.name, "type": port.type, "shape": port.shape}
