"""`msmodelslim quant`: the options and the files of its quick start. What the real one prints is not known here.

Matrices become int8 with a scale for each row, which is the weights' half of w8a8; activations are not looked at.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="msmodelslim")
    quant = parser.add_subparsers(dest="command", required=True).add_parser("quant")
    quant.add_argument("--model_path", type=Path, required=True)
    quant.add_argument("--save_path", type=Path, required=True)
    quant.add_argument("--device", default="npu")
    quant.add_argument("--model_type", required=True)
    quant.add_argument("--quant_type", choices=("w8a8",), required=True)
    quant.add_argument("--trust_remote_code", choices=("True", "False"), default="False")
    given = parser.parse_args(arguments)
    weights = sorted(given.model_path.glob("*.safetensors"))
    if not weights:
        print(f"no safetensors in {given.model_path} (simulated msmodelslim)")
        return 1
    given.save_path.mkdir(parents=True, exist_ok=True)
    _quantize(weights, given.save_path)
    for file in given.model_path.glob("*.json"):
        if not file.name.endswith(".index.json"):
            shutil.copy(file, given.save_path / file.name)
    return 0


def _quantize(files: list[Path], folder: Path) -> None:
    import numpy as np
    from safetensors.numpy import load_file, save_file

    kept: dict[str, np.ndarray] = {}
    described: dict[str, str] = {"model_quant_type": "W8A8"}
    for file in files:
        for name, values in load_file(file).items():
            if values.ndim != 2 or "embed" in name:
                kept[name], described[name] = values, "FLOAT"
                continue
            scale = np.abs(values).max(axis=1, keepdims=True).astype(np.float32) / 127
            scale[scale == 0] = 1
            kept[name] = np.rint(values / scale).clip(-127, 127).astype(np.int8)
            kept[f"{name}_scale"] = scale
            described[name] = described[f"{name}_scale"] = "W8A8"
    save_file(kept, folder / "quant_model_weight_w8a8.safetensors")
    (folder / "quant_model_description.json").write_text(json.dumps(described, indent=2))
