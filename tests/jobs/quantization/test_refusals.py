from __future__ import annotations

import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from jobs.conversion.errors import ConversionRefused
from jobs.conversion.skeleton import point_at
from jobs.quantization import quantize
from jobs.quantization.options import Options
from tests.jobs.quantization import models
from tests.jobs.quantization.models import save, weight

ROOT = Path(__file__).resolve().parents[3]


def code_of(source: Path, out: Path, scheme: str = "int8-weight", **settings) -> str:
    before = set(out.parent.iterdir())
    with pytest.raises(ConversionRefused) as refused:
        quantize(source, out, scheme, Options(**settings))
    assert refused.value.mend and "\n" not in str(refused.value)
    assert set(out.parent.iterdir()) == before
    return refused.value.code


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return save(models.matmul(), tmp_path / "in.onnx")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "file-empty"),
        (b"PK\x03\x04...", "not-onnx"),
        (b"just words" * 100, "not-onnx"),
        (b"version https://git-lfs.github.com/spec/v1\n", "lfs-pointer"),
    ],
)
def test_what_is_no_onnx_is_refused_and_leaves_nothing(tmp_path: Path, content, code):
    (tmp_path / "in.onnx").write_bytes(content)
    assert code_of(tmp_path / "in.onnx", tmp_path / "out.onnx") == code


def test_a_truncated_model_a_missing_one_an_unknown_scheme_and_an_opset_too_old_are_told_apart(tmp_path, source):
    out = tmp_path / "out.onnx"
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(source.read_bytes()[:-100])
    assert code_of(cut, out) == "onnx-truncated"
    assert code_of(tmp_path / "nowhere.onnx", out) == "file-missing"
    assert code_of(source, out, "int3") == "scheme-unknown"
    old = save(models.matmul(opset=10, ir=5), tmp_path / "old.onnx")
    assert code_of(old, out, "int8-dynamic") == "opset-too-old"
    with pytest.raises(ConversionRefused) as refused:
        quantize(source, tmp_path / "no folder" / "out.onnx", "int8-weight")
    assert refused.value.code == "not-writable"


def test_a_model_without_a_weight_to_quantize_and_one_that_is_not_valid_are_refused(tmp_path: Path):
    nothing = models.model([helper.make_node("Relu", ["x"], ["y"])], [])
    assert code_of(save(nothing, tmp_path / "relu.onnx"), tmp_path / "out.onnx") == "nothing-to-quantize"
    broken = models.matmul()
    broken.graph.node[0].input[0] = "nowhere"
    (tmp_path / "broken.onnx").write_bytes(broken.SerializeToString())
    assert code_of(tmp_path / "broken.onnx", tmp_path / "out.onnx", measure=False) == "model-invalid"


@pytest.mark.parametrize("link", ["itself", "symbolic link", "hard link"])
def test_the_output_never_overwrites_the_input_by_whatever_name(tmp_path: Path, source, link):
    out = tmp_path / "out.onnx"
    if link == "itself":
        out = tmp_path / "." / "in.onnx"
    elif link == "symbolic link":
        out.symlink_to(source)
    else:
        os.link(source, out)
    content = source.read_bytes()
    assert code_of(source, out) == "output-is-input"
    assert source.read_bytes() == content


def test_an_output_whose_weights_would_overwrite_the_inputs_is_refused(tmp_path: Path):
    onnx.save(
        models.matmul(), tmp_path / "in.onnx", save_as_external_data=True, location="b.onnx.data", size_threshold=0
    )
    assert code_of(tmp_path / "in.onnx", tmp_path / "b.onnx", inline_limit=0) == "output-is-input"


def test_a_disk_too_small_is_said_before_anything_is_read(tmp_path: Path):
    # Sparse: as large as the file system lets a file be, on no space at all.
    rows, columns = 1 << 21, 1 << 20
    content = models.matmul()
    tensor = content.graph.initializer[0]
    tensor.dims[:] = [rows, columns]
    tensor.ClearField("raw_data")
    point_at(tensor, "weights.data", 0, rows * columns * 4)
    (tmp_path / "in.onnx").write_bytes(content.SerializeToString())
    try:
        with (tmp_path / "weights.data").open("wb") as stream:
            stream.truncate(rows * columns * 4)
    except OSError:
        pytest.skip("the file system has no files of 8 TiB")
    assert code_of(tmp_path / "in.onnx", tmp_path / "out.onnx") == "disk-full"


def test_a_weight_whose_bytes_contradict_its_shape_is_refused_by_name(tmp_path: Path, source):
    onnx.save(models.matmul(), tmp_path / "e.onnx", save_as_external_data=True, location="e.data", size_threshold=0)
    loaded = onnx.load(tmp_path / "e.onnx", load_external_data=False)
    loaded.graph.initializer[0].dims[0] = 90
    (tmp_path / "e.onnx").write_bytes(loaded.SerializeToString())
    assert code_of(tmp_path / "e.onnx", tmp_path / "out.onnx") == "tensor-damaged"
    (tmp_path / "e.data").unlink()
    assert code_of(tmp_path / "e.onnx", tmp_path / "out.onnx") == "external-missing"


def test_each_way_a_calibration_file_can_be_wrong_has_its_sentence(tmp_path: Path, source):
    def wrong(name: str, content: bytes | None, profile: Path | None = None) -> ConversionRefused:
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ConversionRefused) as refused:
            quantize(source, tmp_path / "out.onnx", "int8-weight", Options(calibration=path, profile=profile))
        return refused.value

    assert wrong("missing.jsonl", None).code == "calibration-invalid"
    assert wrong("a.jsonl", b'{"text": "hello"}\n').code == "profile-needed"
    bad_profile = tmp_path / "profile.json"
    bad_profile.write_text("{}")
    assert wrong("a.jsonl", b'{"text": "hello"}\n', bad_profile).code == "profile-invalid"
    np.savez(tmp_path / "b.npz", other=np.ones((3, 96), np.float32))
    assert "no array for the input x" in wrong("b.npz", None).message
    np.savez(tmp_path / "c.npz", x=np.ones((0, 96), np.float32))
    assert wrong("c.npz", None).code == "calibration-invalid"
    (tmp_path / "d.npz").write_bytes((tmp_path / "c.npz").read_bytes()[:100])
    assert wrong("d.npz", None).code == "calibration-invalid"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jobs.quantization", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)


def test_the_command_ends_with_its_report_and_refuses_in_one_line_with_exit_2(tmp_path: Path, source):
    out = tmp_path / "out.onnx"
    np.savez(tmp_path / "rows.npz", x=np.random.default_rng(0).standard_normal((20, 96)).astype(np.float32))
    good = run(source, out, "--scheme", "int8-weight", "--calibration", tmp_path / "rows.npz", "--json")
    assert good.returncode == 0, good.stderr
    report = json.loads(good.stdout.splitlines()[-1])
    assert report["agreement"]["on"] == "rows.npz (20 rows)" and report["agreement"]["cosine_min"] > 0.999
    assert report["latency"]["on"] == "CPU" and report["bytes_after"] == out.stat().st_size
    plain = run(source, out, "--scheme", "int8-dynamic", "--json")
    assert "generated" in json.loads(plain.stdout.splitlines()[-1])["agreement"]["on"]
    for arguments in (
        (source, out, "--scheme", "int3"),
        (source, source, "--scheme", "int8-weight"),
        (tmp_path / "rows.npz", out, "--scheme", "int8-weight"),
        (source, out),
        (source, out, "--scheme", "int8-weight", "--threads", "many"),
    ):
        bad = run(*arguments, "--json")
        assert bad.returncode == 2 and len(bad.stderr.splitlines()) == 1 and not bad.stdout, bad


def test_the_whole_report_goes_to_a_file_with_what_was_asked_for_and_on_which_processor(tmp_path: Path, source):
    out, told = tmp_path / "out.onnx", tmp_path / "report.json"
    np.savez(tmp_path / "rows.npz", x=np.random.default_rng(0).standard_normal((20, 96)).astype(np.float32))
    asked = (source, out, "--scheme", "int4", "--block", "32", "--calibration", tmp_path / "rows.npz")
    done = run(*asked, "--report", told, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(told.read_text(encoding="utf-8"))
    assert report == json.loads(done.stdout.splitlines()[-1])
    assert report["parameters"]["calibration"] == "rows.npz" and report["parameters"]["block"] == 32
    assert report["samples_sha256"] == {"rows.npz": sha256((tmp_path / "rows.npz").read_bytes()).hexdigest()}
    assert [(group["kind"], group["bits"]) for group in report["groups"]] == [("MatMul", [4])]
    assert report["latency"]["processor"]
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for place in (source, out, tmp_path / "rows.npz", tmp_path / "nowhere" / "report.json", tmp_path):
        bad = run(*asked, "--report", place)
        assert bad.returncode == 2 and len(bad.stderr.splitlines()) == 1 and not bad.stdout, bad
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_model_that_onnx_runtime_cannot_run_is_quantized_and_the_report_says_it_was_not_measured(tmp_path: Path):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Strange", ["h"], ["y"], domain="vendor"),
    ]
    content = models.model(nodes, [weight("w", 96, 64)])
    content.opset_import.append(helper.make_opsetid("vendor", 1))
    report = quantize(save(content, tmp_path / "in.onnx"), tmp_path / "out.onnx", "int8-weight")
    assert not report.agreement.measured and "does not run the original" in report.agreement.on
    assert report.latency is None
