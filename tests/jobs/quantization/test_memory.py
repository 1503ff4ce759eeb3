"""Memory stays that of a few blocks, whatever the size of the model."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from jobs.conversion.checks import inspect
from jobs.quantization.bench import LAYERS, OURS, generate

ROOT = Path(__file__).resolve().parents[3]


# How much memory of its own, in MB, a calibration takes while its model is loaded. Files that are mapped do not count:
# the system takes them back when it needs the room.
CALIBRATED = """
import sys
from pathlib import Path
from jobs.quantization import Options, quantize
from jobs.quantization.calibration import capture

def own():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) // 1024

run, seen = capture._run, []
def noted(*given):
    found = run(*given)
    seen.append(own())
    return found
capture._run, before = noted, own()
source, destination, samples = map(Path, sys.argv[1:])
report = quantize(source, destination, "int8-static", Options(calibration=samples, measure=False, threads=2))
print(report.integer_products, len(seen), max(seen) - before)
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A model of more than 200 MB."""
    path = tmp_path_factory.mktemp("large") / "in.onnx"
    assert generate(path, 256) > 200e6
    yield path
    path.unlink()


def test_a_model_of_hundreds_of_megabytes_needs_no_more_memory_than_a_small_one(tmp_path: Path, large: Path):
    command = [sys.executable, "-c", OURS, str(large), str(tmp_path / "out.onnx"), "int8-weight"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["rss_mb"] - figures["base_mb"] < 80, figures


def test_a_calibration_has_no_copy_of_the_weights_either(tmp_path: Path, large: Path):
    side = inspect(large).inputs[0].shape[1]
    assert isinstance(side, int)
    np.savez(tmp_path / "samples.npz", x=np.random.default_rng(2).standard_normal((4, side)).astype(np.float32))
    command = [sys.executable, "-c", CALIBRATED, large, tmp_path / "out.onnx", tmp_path / "samples.npz"]
    done = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    products, runs, megabytes = map(int, done.stdout.split())
    # Once for the shapes, then once a sample.
    assert (products, runs) == (LAYERS, 5) and megabytes < 80
