"""Memory stays that of a few blocks, whatever the size of the model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from jobs.quantization.bench import OURS, generate

ROOT = Path(__file__).resolve().parents[3]


def test_a_model_of_hundreds_of_megabytes_needs_no_more_memory_than_a_small_one(tmp_path: Path):
    size = generate(tmp_path / "in.onnx", 256)
    assert size > 200e6
    command = [sys.executable, "-c", OURS, str(tmp_path / "in.onnx"), str(tmp_path / "out.onnx"), "int8-weight"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["rss_mb"] - figures["base_mb"] < 80, figures
