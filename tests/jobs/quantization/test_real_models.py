from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from jobs.conversion.files import sha256_of
from jobs.conversion.mend import Wish, mend
from jobs.quantization import quantize
from jobs.quantization.errors import QuantizationRefused
from jobs.quantization.options import Options
from tests.wheels import real
from tests.wheels.inputs import NUMBERS, Feed, lines, read_from
from tests.wheels.real import Real, answers

ROOT = Path(__file__).resolve().parents[3]
# Least ratio of the quantized weights, least cosine of any row's outputs, least share of answers that stay the same.
CASES = {
    ("reader", "int8-weight"): (3.95, 0.999, 1.0),
    ("reader", "int8-dynamic"): (3.95, 0.999, 1.0),
    # 64 % of its bytes are a Gemm; convolutions and the LSTM stay at 8 bit.
    ("reader", "int4"): (5.1, 0.998, 1.0),
    ("orientation", "int8-weight"): (3.9, 0.9995, 1.0),
    ("orientation", "int8-dynamic"): (3.9, 0.9995, 1.0),
    ("orientation", "int8-static"): (3.9, 0.99, 1.0),
    # On one picture each, which says whether they broke. The largest along YOLOv8's last axis is a box, not an answer.
    ("layout", "int8-weight"): (3.9, 0.999, 0.9),
    ("yolo", "int8-static"): (3.95, 0.998, 0.0),
    ("vowels", "int8-weight"): (3.8, 0.9995, 1.0),
    ("vowels", "int8-dynamic"): (3.8, 0.9995, 1.0),
    ("vowels", "int4"): (4.05, 0.99, 0.95),
    ("points", "int8-weight"): (3.9, 0.9995, 0.97),
    ("points", "int8-dynamic"): (3.85, 0.9995, 0.95),
    # Its products sum 400 and 800 values: the last block of each column is not full.
    ("points", "int4"): (6.1, 0.999, 0.95),
}
# In these the command itself runs both models as well: many times, so it is done for quick ones.
MEASURED = {("orientation", "int8-static"), ("vowels", "int8-dynamic"), ("vowels", "int4")}


def run(source: Path, out: Path, scheme: str, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jobs.quantization", str(source), str(out), "--scheme", scheme, *more, "--json"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)


def samples(feeds: list[Feed], path: Path) -> Path:
    np.savez(path, **{name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]})
    return path


def cosines(wanted: list[list[np.ndarray]], got: list[list[np.ndarray]]) -> list[float]:
    found = []
    for before, after in zip(wanted, got, strict=True):
        one, other = (np.concatenate([out.ravel().astype(np.float64) for out in outs]) for outs in (before, after))
        found.append(float(one @ other / np.linalg.norm(one) / np.linalg.norm(other)))
    return found


def same(wanted: list[list[np.ndarray]], got: list[list[np.ndarray]]) -> float:
    """The share of answers that are the same: the largest value's place along the last axis of each float output."""
    pairs = [pair for before, after in zip(wanted, got, strict=True) for pair in zip(before, after, strict=True)]
    floats = [(a, b) for a, b in pairs if a.dtype.kind == "f"]
    return float(np.concatenate([(a.argmax(-1) == b.argmax(-1)).ravel() for a, b in floats]).mean())


@pytest.mark.parametrize(("name", "scheme"), CASES)
def test_a_real_model_quantized_by_the_command_answers_as_it_did(tmp_path: Path, name: str, scheme: str):
    model: Real = real.ALL[name]
    assert model.feeds is not None
    source, out = model.path, tmp_path / "out.onnx"
    before = sha256_of(source)
    feeds = model.feeds(source)
    asked = ["--calibration", str(samples(feeds, tmp_path / "samples.npz"))]
    measured = asked if (name, scheme) in MEASURED else ["--no-measure"]
    if scheme == "int8-static" and measured != asked:
        measured += asked
    done = run(source, out, scheme, "--block", "32", *measured)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    ratio, cosine, share = CASES[name, scheme]
    assert sha256_of(source) == before == report["source_sha256"][source.name]
    assert report["bytes_after"] == out.stat().st_size and report["weights_ratio"] > ratio
    onnx.checker.check_model(str(out))
    wanted, got = answers(source, feeds), answers(out, feeds)
    assert min(cosines(wanted, got)) > cosine and same(wanted, got) >= share
    if name == "reader":
        assert [read_from(outputs[0]) for outputs in got] == list(NUMBERS)
    if name == "orientation":
        assert [int(outputs[0].argmax()) for outputs in got] == [0, 3, 2, 1]
    if (name, scheme) in MEASURED:
        assert report["agreement"]["rows"] == len(feeds)
        assert report["agreement"]["cosine_min"] > cosine and report["agreement"]["agreement"] >= share


def test_a_model_brought_to_opset_13_still_reads_the_digits_with_calibrated_activations(tmp_path: Path):
    source = real.READER.path
    feeds = lines(source)
    settings = Options(calibration=samples(feeds, tmp_path / "samples.npz"), measure=False)
    with pytest.raises(QuantizationRefused) as refused:
        quantize(source, tmp_path / "out.onnx", "int8-static", settings)
    assert refused.value.code == "opset-too-old"
    mend(source, tmp_path / "newer.onnx", Wish(opset=13))
    report = quantize(tmp_path / "newer.onnx", tmp_path / "out.onnx", "int8-static", settings)
    # 21 convolutions and the Gemm; the LSTM's weights are int8 and its arithmetic float.
    assert report.integer_products == 22 and report.weights_ratio > 3.95
    wanted, got = answers(source, feeds), answers(tmp_path / "out.onnx", feeds)
    assert min(cosines(wanted, got)) > 0.98 and same(wanted, got) >= 0.9
    assert sum(read_from(outputs[0]) == number for outputs, number in zip(got, NUMBERS, strict=True)) >= 3


def test_what_is_quantized_already_is_refused_and_told_so(tmp_path: Path):
    done = run(real.READER_DONE.path, tmp_path / "out.onnx", "int8-dynamic")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1) and "quantized already" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_real_model_is_never_overwritten_by_whatever_name_its_output_has(tmp_path: Path):
    source = tmp_path / "model.onnx"
    source.write_bytes(real.VOWELS.path.read_bytes())
    linked = tmp_path / "linked.onnx"
    os.link(source, linked)
    for out in (source, linked):
        done = run(source, out, "int8-weight", "--no-measure")
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1) and "overwrite" in done.stderr
    assert source.read_bytes() == real.VOWELS.path.read_bytes()
