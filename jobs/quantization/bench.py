"""``python -m jobs.quantization.bench``: int8 and int4 against ONNX Runtime in one run, on a generated model.

Each side quantizes the same file in a process of its own: seconds of the quantization alone, without imports, hashes
and measurements, and the process's highest memory. The file was just written, so both read it warm, from the page
cache. ONNX Runtime's are given what they are best at: MatMul weights, int8 per channel, int4 by blocks of 128.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LAYERS = 12
# What it has to keep up with: issue figures of the project, ours over theirs.
WANTED_SPEED = {"int8-weight": 12.0, "int8-dynamic": 12.0, "int4": 6.0}
WANTED_MEMORY = 7.0

OURS = """
import json, sys
from pathlib import Path
from jobs.quantization import Options, quantize
from jobs.quantization.measure import peak_memory
base = peak_memory() >> 20
report = quantize(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Options(measure=False))
print(json.dumps({"seconds": report.quantize_seconds, "rss_mb": report.peak_rss_mb, "base_mb": base}))
"""
THEIRS = """
import json, sys, time
from jobs.quantization.measure import peak_memory
from onnxruntime.quantization import QuantType, quantize_dynamic
base = peak_memory() >> 20
began = time.monotonic()
quantize_dynamic(sys.argv[1], sys.argv[2], weight_type=QuantType.QInt8, per_channel=True)
print(json.dumps({"seconds": time.monotonic() - began, "rss_mb": peak_memory() >> 20, "base_mb": base}))
"""

THEIRS_4 = """
import json, sys, time
import onnx
from jobs.quantization.measure import peak_memory
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
base = peak_memory() >> 20
began = time.monotonic()
work = MatMulNBitsQuantizer(onnx.load(sys.argv[1]), bits=4, block_size=128, is_symmetric=True)
work.process()
work.model.save_model_to_file(sys.argv[2])
print(json.dumps({"seconds": time.monotonic() - began, "rss_mb": peak_memory() >> 20, "base_mb": base}))
"""


def generate(path: Path, megabytes: int) -> int:
    """A chain of MatMul and Relu with random float32 weights; its size in bytes."""
    side = max(64, int((megabytes * 1e6 / 4 / LAYERS) ** 0.5) // 64 * 64)
    generator = np.random.default_rng(1)
    weights = [
        numpy_helper.from_array(generator.standard_normal((side, side), np.float32) * np.float32(0.02), f"w{layer}")
        for layer in range(LAYERS)
    ]
    nodes = []
    for layer in range(LAYERS):
        nodes.append(helper.make_node("MatMul", ["x" if not layer else f"r{layer}", f"w{layer}"], [f"m{layer}"]))
        nodes.append(helper.make_node("Relu", [f"m{layer}"], [f"r{layer + 1}" if layer < LAYERS - 1 else "y"]))
    graph = helper.make_graph(
        nodes,
        "generated",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", side])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", side])],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path.stat().st_size


def timed(script: str, *arguments: str) -> dict[str, float]:
    """Runs one side in a process of its own; what it measured. Raises SystemExit with its last line when it fails."""
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr.strip().splitlines()[-1])
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m jobs.quantization.bench", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=400, help="size of the generated model")
    parser.add_argument("--runs", type=int, default=3, help="each side's best of so many")
    parser.add_argument("--folder", type=Path, help="where the files lie while it runs")
    parser.add_argument("--json", action="store_true", help="the last line is the result as JSON")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        source, out = Path(folder) / "in.onnx", str(Path(folder) / "out.onnx")
        size = generate(source, given.megabytes)
        ours = {f"ours {scheme}": (OURS, (str(source), out, scheme)) for scheme in WANTED_SPEED}
        sides = {
            **ours,
            "onnxruntime quantize_dynamic": (THEIRS, (str(source), out)),
            "onnxruntime MatMulNBits": (THEIRS_4, (str(source), out)),
        }
        figures: dict[str, dict[str, float]] = {}
        for name, (script, arguments) in sides.items():
            tries = [timed(script, *arguments) for _ in range(given.runs)]
            best = min(tries, key=lambda figure: figure["seconds"])
            figures[name] = {"gb_per_s": size / best["seconds"] / 1e9, **best}
            line = f"{figures[name]['gb_per_s']:6.2f} GB/s {best['seconds']:7.2f} s {best['rss_mb']:6.0f} MB"
            print(f"{name:30} {line} (of it {best['base_mb']:.0f} MB before it began)", flush=True)
    result = {"bytes": size, "runs": given.runs, "figures": figures, "ratios": {}}
    for scheme, wanted_speed in WANTED_SPEED.items():
        name = f"ours {scheme}"
        theirs = figures["onnxruntime MatMulNBits" if scheme == "int4" else "onnxruntime quantize_dynamic"]
        speed = figures[name]["gb_per_s"] / theirs["gb_per_s"]
        memory = theirs["rss_mb"] / figures[name]["rss_mb"]
        result["ratios"][name] = {"speed": round(speed, 2), "memory": round(memory, 2)}
        wanted = f"(wanted: {wanted_speed:g} x and {WANTED_MEMORY:g} x)"
        print(f"{name}: {speed:.1f} x onnxruntime's speed, 1/{memory:.1f} of its memory {wanted}", flush=True)
    if given.json:
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
