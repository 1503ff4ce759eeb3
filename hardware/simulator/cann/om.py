"""The file that stands for an OM on simulated machines; `ais_bench` in the base image reads it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

# No real OM begins so: theirs is IMOD.
MARK = b"SIMULATED OM 1\n"


def write_om(path: Path, onnx: bytes, soc_version: str, inputs: list[dict[str, Any]], arguments: list[str]) -> None:
    """The mark, one line of JSON, the ONNX. `inputs` are `{"name", "type", "shape"}` in the model's order."""
    about = {
        "soc_version": soc_version,
        "inputs": inputs,
        "onnx_sha256": hashlib.sha256(onnx).hexdigest(),
        "onnx_bytes": len(onnx),
        "arguments": arguments,
        "note": "made by a simulated atc: no NPU can load it",
    }
    part = path.with_name(path.name + ".part")
    part.write_bytes(MARK + json.dumps(about).encode() + b"\n" + onnx)
    part.replace(path)
