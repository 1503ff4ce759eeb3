"""What the command says on which stream, and how it ends when nobody listens, or somebody stops it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings

from tests.jobs.quantization import models
from tests.jobs.quantization.models import save
from tests.jobs.quantization.test_killed import generate

COMMAND = [sys.executable, "-m", "jobs.quantization"]
ROOT = settings.BASE_DIR


def test_with_json_stdout_has_the_report_alone_and_progress_goes_to_stderr(tmp_path: Path):
    source = save(models.matmul(), tmp_path / "in.onnx")
    command = [*COMMAND, source, tmp_path / "out.onnx", "--scheme", "int8-weight"]
    done = subprocess.run([*command, "--json"], cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert json.loads(done.stdout)["scheme"] == "int8-weight"
    assert all(line.startswith("[") for line in done.stderr.splitlines()) and "100 %" in done.stderr
    plain = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert plain.stderr == "" and plain.stdout.startswith("[") and "\nscheme: int8-weight\n" in plain.stdout


@pytest.mark.parametrize("more", [[], ["--json"]], ids=["in words", "as JSON"])
def test_when_nobody_reads_it_any_more_it_ends_without_a_word_and_leaves_nothing(tmp_path: Path, more):
    source = tmp_path / "in.onnx"
    generate(source, 64)
    command = [*COMMAND, str(source), str(tmp_path / "out.onnx"), "--scheme", "int8-weight", "--no-measure", *more]
    with subprocess.Popen(["true"], stdin=subprocess.PIPE) as reader:
        reader.wait()
        # With --json it is progress on stderr that nobody reads.
        streams = {"stderr": reader.stdin, "stdout": subprocess.PIPE} if more else {"stdout": reader.stdin}
        process = subprocess.Popen(command, cwd=ROOT, **{"stderr": subprocess.PIPE, **streams})
        said = process.communicate(timeout=110)
    assert process.returncode == 128 + signal.SIGPIPE and not any(said)
    assert [path.name for path in tmp_path.iterdir()] == ["in.onnx"]


def test_ctrl_c_ends_it_without_a_word_and_leaves_nothing(tmp_path: Path):
    source = tmp_path / "in.onnx"
    generate(source, 256)
    command = [*COMMAND, str(source), str(tmp_path / "out.onnx"), "--scheme", "int8-weight"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "weights to int8-weight" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "")
    assert [path.name for path in tmp_path.iterdir()] == ["in.onnx"]


def test_a_disk_too_small_is_said_before_anything_is_calibrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from jobs.quantization import output, quantize, quantizer
    from jobs.quantization.errors import QuantizationRefused
    from jobs.quantization.options import Options

    def calibrated(*_: object) -> None:
        raise AssertionError("it was calibrated")

    monkeypatch.setattr(quantizer, "calibrated", calibrated)
    monkeypatch.setattr(output, "HEADROOM", 1 << 60)
    source = save(models.matmul(), tmp_path / "in.onnx")
    np.savez(tmp_path / "rows.npz", x=np.ones((3, 96), np.float32))
    with pytest.raises(QuantizationRefused) as refused:
        quantize(source, tmp_path / "out.onnx", "int8-static", Options(calibration=tmp_path / "rows.npz"))
    assert refused.value.code == "disk-full"


def test_a_place_of_somebody_elses_a_name_too_long_and_threads_below_none_are_refused_in_one_line(tmp_path: Path):
    source = save(models.matmul(), tmp_path / "in.onnx")
    (tmp_path / "out.onnx.part").mkdir()
    (tmp_path / "out.onnx.part" / "notes").write_text("mine")
    for out, more, said in (
        (tmp_path / "out.onnx", [], "is in the way"),
        (tmp_path / ("n" * 300), [], "File name too long"),
        (tmp_path / "other.onnx", ["--threads", "-3"], "--threads"),
    ):
        command = [*COMMAND, str(source), str(out), "--scheme", "int8-weight", *more]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
        assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1, done
    assert (tmp_path / "out.onnx.part" / "notes").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.onnx", "out.onnx.part"]
