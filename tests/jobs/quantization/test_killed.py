"""A quantization that is killed leaves no output, and the next one starts as if nothing had been."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from jobs.quantization import quantize
from jobs.quantization.bench import generate

ROOT = Path(__file__).resolve().parents[3]


def test_a_quantization_that_is_told_to_stop_leaves_nothing_behind(tmp_path: Path):
    source = tmp_path / "in.onnx"
    generate(source, 256)
    command = [sys.executable, "-m", "jobs.quantization", str(source), str(tmp_path / "out.onnx")]
    process = subprocess.Popen(
        [*command, "--scheme", "int8-weight"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert "weights to int8-weight" in process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (143, "")
    assert [path.name for path in tmp_path.iterdir()] == ["in.onnx"]


def test_a_killed_quantization_leaves_no_output_and_the_next_one_no_trace_of_it(tmp_path: Path):
    source, out = tmp_path / "in.onnx", tmp_path / "out.onnx"
    generate(source, 256)
    command = [sys.executable, "-m", "jobs.quantization", str(source), str(out), "--scheme", "int8-weight"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "weights to int8-weight" in process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not out.exists()
    quantize(source, out, "int8-weight", measure=False)
    assert {path.name for path in tmp_path.iterdir()} == {"in.onnx", "out.onnx"}
