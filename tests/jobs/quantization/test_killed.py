"""A quantization that is killed leaves no output, and the same one goes on at the last tensor that was finished."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.quantization import Report, quantize
from jobs.quantization.bench import LAYERS, generate
from jobs.quantization.errors import QuantizationRefused
from jobs.quantization.journal import NAME, Journal
from jobs.quantization.options import Options

ROOT = Path(__file__).resolve().parents[3]
FINISHED = 5
# Dies as by the kernel's out-of-memory killer, once so many tensors are finished.
DYING = """
import os, signal, sys
from pathlib import Path
from jobs.quantization import Options, quantize
from jobs.quantization.journal import Journal

noted = Journal.finished
def note(journal, offset, snr_db):
    noted(journal, offset, snr_db)
    if len(journal._done) == int(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)
Journal.finished = note
quantize(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Options(measure=False, inline_limit=int(sys.argv[5])))
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model and, in `killed`, the `.part` folder that a killed int8-weight quantization of it left."""
    folder = tmp_path_factory.mktemp("killed")
    generate(folder / "in.onnx", 12)
    kill(folder / "in.onnx", "int8-weight", 1 << 30).rename(folder / "killed")
    return folder


@pytest.fixture
def source(shared: Path) -> Path:
    """The model, as if the quantization of it had just been killed."""
    for path in shared.glob("out.onnx*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(shared / "killed", shared / "out.onnx.part")
    return shared / "in.onnx"


def kill(source: Path, scheme: str, limit: int) -> Path:
    """The `.part` folder that a killed quantization of `source` to out.onnx leaves."""
    out = source.with_name("out.onnx")
    command = [sys.executable, "-c", DYING, str(source), str(out), scheme, str(FINISHED), str(limit)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    assert not out.exists()
    return out.with_name("out.onnx.part")


def again(source: Path, scheme: str = "int8-weight", **options) -> Report:
    settings = {"measure": False, "inline_limit": 1 << 30, **options}
    return quantize(source, source.with_name("out.onnx"), scheme, Options(**settings))


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


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


@pytest.mark.parametrize("scheme, limit", [("int8-weight", 1 << 30), ("int4", 0)], ids=["in one file", "beside it"])
def test_a_killed_quantization_goes_on_where_it_was_and_gives_the_same_bytes(tmp_path: Path, scheme: str, limit: int):
    source = tmp_path / "in.onnx"
    generate(source, 12)
    whole = again(source, scheme, inline_limit=limit)
    wanted = files_of(tmp_path)
    for path in tmp_path.glob("out.onnx*"):
        path.unlink()
    kill(source, scheme, limit)
    resumed = again(source, scheme, inline_limit=limit)
    assert files_of(tmp_path) == wanted
    assert resumed.bytes_resumed == sum(layer.bytes_before for layer in whole.layers[:FINISHED])
    assert resumed.layers == whole.layers and len(resumed.layers) == LAYERS


def test_what_was_finished_counts_whatever_the_threads(source: Path):
    assert again(source, threads=1).bytes_resumed > 0


def test_what_was_finished_with_other_settings_does_not_count(source: Path):
    assert again(source, form="dequantize").bytes_resumed == 0
    assert not source.with_name("out.onnx.part").exists()


def test_what_was_finished_of_another_input_does_not_count(source: Path):
    changed = source.stat().st_mtime_ns
    os.utime(source, ns=(changed + 1, changed + 1))
    assert again(source).bytes_resumed == 0
    os.utime(source, ns=(changed, changed))


@pytest.mark.parametrize("settled", [0, 2])
def test_after_a_crash_of_the_machine_only_what_was_on_the_disk_by_then_counts(source: Path, settled: int):
    journal = source.with_name("out.onnx.part") / NAME
    asked, layout, *done = [json.loads(line) for line in journal.read_text().splitlines()]
    assert len(done) == FINISHED
    lines = [asked, {**layout, "boot": "an earlier one"}, *done[:3], {"settled": settled}, *done[3:]]
    # The last line was cut off by the crash.
    journal.write_text("\n".join(map(json.dumps, lines))[:-4])
    report = again(source)
    assert report.bytes_resumed == sum(layer.bytes_before for layer in report.layers[:settled])
    assert again(source).sha256 == report.sha256


def test_tensors_are_on_the_disk_before_the_journal_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("jobs.quantization.journal.SETTLE_EVERY", -1.0)
    (tmp_path / "data").write_bytes(bytes(8))
    journal = Journal(tmp_path / "out.onnx.part", "this")
    journal.begin("so", tmp_path / "data", 8)
    with (tmp_path / "data").open("r+b") as data:
        journal.follow(data.fileno())
        journal.finished(0, 40.0)
    journal._let_go()
    lines = [json.loads(line) for line in (tmp_path / "out.onnx.part" / NAME).read_text().splitlines()]
    assert lines[-2:] == [{"at": 0, "snr_db": 40.0}, {"settled": 1}]
    journal.close()


def test_a_second_quantization_to_the_same_output_is_refused_while_the_first_one_runs(source: Path):
    first = Journal(source.with_name("out.onnx.part"), "that")
    with pytest.raises(QuantizationRefused) as refused:
        again(source)
    assert refused.value.code == "in-progress" and "out.onnx" in str(refused.value)
    first.close()
    assert again(source).tensors_quantized == LAYERS
