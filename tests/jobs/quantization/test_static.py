"""int8-static: activations in integers by ranges that were seen on samples, against ONNX Runtime's own quantizer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from jobs.quantization import Options, quantize
from jobs.quantization.calibration.limits import METHODS
from jobs.quantization.errors import QuantizationRefused
from tests.jobs.quantization.models import FLOAT, SIZE, answer, feed_for, model, port, save, weight
from tests.jobs.quantization.test_quantized_models import MODELS, TENSORS

ROOT = Path(__file__).resolve().parents[3]
PEER = {
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
}


def convolutions() -> onnx.ModelProto:
    """Conv, Relu, MaxPool, a residual pair and a Gemm: a small picture classifier."""
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("MaxPool", ["r1"], ["p1"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["p1", "w2", "b2"], ["c2"], pads=[1, 1, 1, 1]),
        helper.make_node("Clip", ["c2", "zero", "six"], ["r2"]),
        helper.make_node("Conv", ["r2", "w3"], ["c3"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c3", "p1"], ["sum"]),
        helper.make_node("GlobalAveragePool", ["sum"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w4", "b4"], ["y"], transB=1),
    ]
    stored = [
        weight("w1", 32, 3, 3, 3), weight("b1", 32, seed=2), weight("w2", 32, 32, 3, 3, seed=3),
        weight("b2", 32, seed=4), weight("w3", 32, 32, 3, 3, seed=5), weight("w4", 200, 32, seed=6),
        weight("b4", 200, seed=7),
        numpy_helper.from_array(np.float32(0), "zero"), numpy_helper.from_array(np.float32(6), "six"),
    ]  # fmt: skip
    return model(nodes, stored, [port("x", FLOAT, "rows", 3, 16, 16)], out=port("y", FLOAT, "rows", 200))


def products() -> onnx.ModelProto:
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h1"]),
        helper.make_node("Add", ["h1", "b1"], ["a1"]),
        helper.make_node("Tanh", ["a1"], ["t1"]),
        helper.make_node("MatMul", ["t1", "w2"], ["h2"]),
        helper.make_node("Relu", ["h2"], ["r2"]),
        helper.make_node("MatMul", ["r2", "w3"], ["y"]),
    ]
    stored = [weight("w1", SIZE, SIZE), weight("b1", SIZE, seed=2), weight("w2", SIZE, SIZE, seed=3)]
    return model(nodes, [*stored, weight("w3", SIZE, 64, seed=4)])


NETS = {"convolutions": (convolutions, (3, 16, 16)), "products": (products, (SIZE,))}


def rows(shape: tuple[int, ...], count: int = 48, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, *shape)).astype(np.float32)


def written(folder: Path, values: np.ndarray) -> Path:
    np.savez(folder / "samples.npz", x=values)
    return folder / "samples.npz"


def exact(path: Path, values: np.ndarray) -> np.ndarray:
    """What a model answers where no product saturates, whatever this processor is."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": values})[0].astype(np.float64)


def error(source: Path, result: Path, values: np.ndarray) -> float:
    wanted, got = exact(source, values), exact(result, values)
    return float(np.linalg.norm(wanted - got) / np.linalg.norm(wanted))


class Reader(CalibrationDataReader):
    def __init__(self, values: np.ndarray) -> None:
        self._feeds = iter([{"x": values[row : row + 1]} for row in range(len(values))])

    def get_next(self):
        return next(self._feeds, None)


def by_peer(source: Path, destination: Path, values: np.ndarray, method: str) -> Path:
    quantize_static(
        str(source), str(destination), Reader(values), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QInt8, weight_type=QuantType.QInt8, calibrate_method=PEER[method],
    )  # fmt: skip
    return destination


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NETS)
def test_the_answers_are_as_near_to_the_originals_as_onnx_runtimes_own_quantizers(tmp_path: Path, name, method):
    make, shape = NETS[name]
    source, values = save(make(), tmp_path / "in.onnx"), rows(shape)
    samples = written(tmp_path, values)
    report = quantize(
        source, tmp_path / "out.onnx", "int8-static", Options(calibration=samples, calibrate=method, measure=False)
    )
    unseen = rows(shape, seed=6)
    mine = error(source, tmp_path / "out.onnx", unseen)
    theirs = error(source, by_peer(source, tmp_path / "peer.onnx", values, method), unseen)
    assert mine <= 1.2 * theirs, (mine, theirs)
    assert mine < 0.1
    told = report.calibration
    assert told is not None and (told.method, told.samples, told.on) == (method, 48, "samples.npz (48 rows)")


def calibrated(tmp_path: Path, content: onnx.ModelProto, values: np.ndarray, **settings):
    source = save(content, tmp_path / "in.onnx")
    options = Options(calibration=written(tmp_path, values), **{"measure": False, **settings})
    return source, quantize(source, tmp_path / "out.onnx", "int8-static", options)


def fused(path: Path, tmp_path: Path) -> list[str]:
    """The operators that ONNX Runtime makes of a model."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(tmp_path / "fused.onnx").graph.node]


@pytest.mark.parametrize("form", ["unsigned", "signed"])
@pytest.mark.parametrize("name", NETS)
def test_every_product_is_multiplied_in_integers(tmp_path: Path, name, form):
    make, shape = NETS[name]
    _, report = calibrated(tmp_path, make(), rows(shape), form=form)
    made = onnx.load(tmp_path / "out.onnx")
    stored = {one.name: numpy_helper.to_array(one) for one in made.graph.initializer}
    kinds = fused(tmp_path / "out.onnx", tmp_path)
    assert {"Conv", "Gemm", "FusedGemm", "MatMul", "Clip"}.isdisjoint(kinds)
    weights = [one for key, one in stored.items() if key.endswith("_quantized")]
    if name == "convolutions":
        assert kinds.count("QLinearConv") == 3 and kinds.count("QGemm") == 1 and "Relu" not in kinds
        assert sorted(len(one) for one in stored.values() if one.dtype == np.int32) == [32, 32, 200]
        assert report.integer_products == len(weights) == 4
        # What has another form now is not stored twice.
        assert {"w1", "b1", "w2", "b2", "w3", "w4", "b4"}.isdisjoint(stored)
    else:
        # The first is a Gemm together with its Add.
        assert [kinds.count(kind) for kind in ("QGemm", "QLinearMatMul", "MatMulIntegerToFloat")] == [1, 1, 1]
        assert "b1" not in stored
        assert report.integer_products == len(weights) == 3
    assert all(one.dtype == np.int8 and one.min() >= -127 for one in weights)
    read = [node for node in made.graph.node if node.op_type == "DequantizeLinear" and node.output[0][0] == "w"]
    assert len(read) == len(weights)
    for node in read:
        zeros = stored[node.input[2]]
        assert len(zeros) == len(stored[node.input[1]]) > 1
        assert set(zeros.tolist()) == ({0} if form == "signed" else {128})


@pytest.mark.parametrize("form", ["unsigned", "signed"])
@pytest.mark.parametrize("axes", [2, 3])
def test_products_that_read_the_same_are_all_multiplied_in_integers(tmp_path: Path, axes, form):
    """As query, key and value do."""
    nodes, stored = [], []
    for name in "qkv":
        nodes.append(helper.make_node("MatMul", ["x", f"w{name}"], [f"m{name}"]))
        nodes.append(helper.make_node("Add", [f"b{name}", f"m{name}"], [f"a{name}"]))
        stored += [weight(f"w{name}", SIZE, SIZE, seed=ord(name)), weight(f"b{name}", SIZE, seed=ord(name))]
    nodes += [helper.make_node("Mul", ["aq", "ak"], ["s"]), helper.make_node("Mul", ["s", "av"], ["y"])]
    shape = ("rows", SIZE) if axes == 2 else ("rows", "words", SIZE)
    content = model(nodes, stored, [port("x", FLOAT, *shape)], out=port("y", FLOAT, *shape))
    given = rows((SIZE,) if axes == 2 else (7, SIZE))
    source, _ = calibrated(tmp_path, content, given, form=form)
    kinds = fused(tmp_path / "out.onnx", tmp_path)
    assert kinds.count("QGemm" if axes == 2 else "MatMulIntegerToFloat") == 3
    assert {"Gemm", "MatMul", "DequantizeLinear"}.isdisjoint(kinds)
    assert error(source, tmp_path / "out.onnx", given) < 0.04


def test_a_model_without_a_product_that_can_be_integers_says_that_it_is_int8_weights(tmp_path: Path):
    source = save(MODELS["LSTM"](), tmp_path / "in.onnx")
    np.savez(tmp_path / "samples.npz", **feed_for(source))
    report = quantize(
        source, tmp_path / "out.onnx", "int8-static", Options(calibration=tmp_path / "samples.npz", measure=False)
    )
    assert report.integer_products == 0 and any("multiplied in integers" in line for line in report.warnings)


@pytest.mark.parametrize("limit", [1 << 30, 0], ids=["in one file", "weights beside it"])
@pytest.mark.parametrize("name", MODELS)
def test_whatever_the_weight_stands_in_the_answers_stay(tmp_path: Path, name, limit):
    source = save(MODELS[name](), tmp_path / "in.onnx")
    if onnx.load(source).opset_import[0].version < 13:
        with pytest.raises(
            QuantizationRefused, match="is opset 11; DequantizeLinear has channels from opset 13"
        ) as old:
            quantize(source, tmp_path / "out.onnx", "int8-static", Options(calibration=tmp_path / "samples.npz"))
        assert old.value.code == "opset-too-old"
        return
    feed = feed_for(source)
    np.savez(tmp_path / "samples.npz", **feed)
    options = Options(calibration=tmp_path / "samples.npz", measure=False, inline_limit=limit)
    report = quantize(source, tmp_path / "out.onnx", "int8-static", options)
    assert report.tensors_quantized == TENSORS.get(name, 1) and report.weights_ratio > 1.7
    wanted, got = answer(source, feed), answer(tmp_path / "out.onnx", feed)
    assert np.linalg.norm(wanted - got) / np.linalg.norm(wanted) < 0.03
    in_integers = {"MatMul", "MatMul float16", "MatMul opset 21", "Transpose before MatMul", "Constant node", "Gemm",
                   "Gemm transB", "Conv", "tied embedding"}  # fmt: skip
    if name in in_integers:
        assert report.integer_products == 1 and report.calibration is not None and report.calibration.tensors


def test_a_bias_that_is_far_larger_than_its_products_still_fits(tmp_path: Path):
    values = np.random.default_rng(3).standard_normal((64, SIZE)).astype(np.float32)
    values[0] *= 1e-9
    bias = np.full(64, 5, np.float32)
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)
    content = model([node], [numpy_helper.from_array(values, "w"), numpy_helper.from_array(bias, "b")])
    source, _ = calibrated(tmp_path, content, rows((SIZE,)))
    unseen = rows((SIZE,), seed=6)
    np.testing.assert_allclose(exact(tmp_path / "out.onnx", unseen)[:, 0], 5, rtol=1e-3)
    assert error(source, tmp_path / "out.onnx", unseen) < 0.02


def test_a_bias_that_is_no_row_of_channels_is_added_as_it_is(tmp_path: Path):
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["y"])]
    content = model(nodes, [weight("w", SIZE, 64), numpy_helper.from_array(np.float32([[2]]), "b")])
    source, report = calibrated(tmp_path, content, rows((SIZE,)))
    assert report.integer_products == 1 and error(source, tmp_path / "out.onnx", rows((SIZE,), seed=6)) < 0.02


def test_an_outlier_costs_minmax_more_than_what_cuts_it_off(tmp_path: Path):
    values = rows((SIZE,), 400)
    values[0, 0] = 500
    errors = {}
    for method in METHODS:
        (folder := tmp_path / method).mkdir()
        source, report = calibrated(folder, products(), values, calibrate=method)
        errors[method] = error(source, folder / "out.onnx", rows((SIZE,), seed=6))
        assert report.calibration is not None
        first = next(one for one in report.calibration.activations if one.name == "x")
        assert first.seen_high == 500 and (first.clipped == 0) == (method == "minmax")
        assert first.scale == pytest.approx((first.high - first.low) / 255)
    assert errors["percentile"] < errors["minmax"] / 3 and errors["entropy"] < errors["minmax"] / 3


def adverse() -> tuple[onnx.ModelProto, np.ndarray]:
    """All values positive and large: of a uint8 and an int8, pairs of products overflow 16 bits on AVX2."""
    values = np.random.default_rng(3).uniform(0.05, 0.1, (SIZE, 64)).astype(np.float32)
    content = model([helper.make_node("MatMul", ["x", "w"], ["y"])], [numpy_helper.from_array(values, "w")])
    return content, np.random.default_rng(4).uniform(0, 1, (48, SIZE)).astype(np.float32)


def test_no_product_saturates_on_any_processor(tmp_path: Path):
    content, given = adverse()
    source, _ = calibrated(tmp_path, content, given)
    np.testing.assert_allclose(answer(tmp_path / "out.onnx", {"x": given}), exact(tmp_path / "out.onnx", given), 1e-4)
    assert error(source, tmp_path / "out.onnx", given) < 0.005


def test_with_reduced_range_signed_weights_have_7_bits_and_saturate_nowhere_either(tmp_path: Path):
    content, given = adverse()
    source, _ = calibrated(tmp_path, content, given, form="signed", reduce_range=True)
    made = onnx.load(tmp_path / "out.onnx")
    [stored] = [numpy_helper.to_array(one) for one in made.graph.initializer if one.name == "w_quantized"]
    assert np.abs(stored).max() == 63
    np.testing.assert_allclose(answer(tmp_path / "out.onnx", {"x": given}), exact(tmp_path / "out.onnx", given), 1e-4)
    assert error(source, tmp_path / "out.onnx", given) < 0.01


def test_what_is_not_finite_on_a_sample_stays_float_and_is_named(tmp_path: Path):
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h"]),
        helper.make_node("Log", ["h"], ["holes"]),
        helper.make_node("MatMul", ["holes", "w2"], ["y"]),
    ]
    content = model(nodes, [weight("w1", SIZE, SIZE), weight("w2", SIZE, 64, seed=3)])
    _, report = calibrated(tmp_path, content, rows((SIZE,)))
    assert report.calibration is not None and report.calibration.left_out == ["holes"]
    assert report.integer_products == 1 and any("stay float: holes" in line for line in report.warnings)
    content = model(nodes[1:2] + [helper.make_node("MatMul", ["holes", "w2"], ["y"])], [weight("w2", SIZE, 64)])
    content.graph.node[0].input[0] = "x"
    with pytest.raises(QuantizationRefused) as refused:
        calibrated(tmp_path, content, rows((SIZE,)))
    assert refused.value.code == "calibration-failed"


def ruined() -> onnx.ModelProto:
    """Two products; what goes into the second has so large a value on some rows that int8 has no steps for the rest."""
    large = np.zeros((1, SIZE), np.float32)
    large[0, 0] = 4000
    mask = np.ones((1, SIZE), np.float32)
    kernel = numpy_helper.to_array(weight("w2", SIZE, 64, seed=3)).copy()
    kernel[0] = 0
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h"]),
        helper.make_node("Tanh", ["h"], ["t"]),
        helper.make_node("Add", ["t", "large"], ["a"]),
        helper.make_node("MatMul", ["a", "w2"], ["y"]),
    ]
    stored = [weight("w1", SIZE, SIZE), numpy_helper.from_array(kernel, "w2"), numpy_helper.from_array(large, "large")]
    return model(nodes, [*stored, numpy_helper.from_array(mask, "mask")][:3])


def test_a_budget_keeps_the_layer_that_static_ranges_ruin_at_float_activations(tmp_path: Path):
    _, report = calibrated(tmp_path, ruined(), rows((SIZE,), 200), measure=True, budget=0.1)
    budget = report.budget
    assert budget is not None and budget.lost_by_scheme > 0.3 and budget.lost <= 0.1
    assert [(kept.name, kept.precision) for kept in budget.kept] == [("w2", "int8")]
    assert report.integer_products == 1 and report.tensors_quantized == 2


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jobs.quantization", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_without_samples_or_with_some_that_do_not_fit_one_line_says_so(tmp_path: Path):
    source = save(products(), tmp_path / "in.onnx")
    asked = (source, tmp_path / "out.onnx", "--scheme", "int8-static")
    done = run(*asked)
    assert done.returncode == 2 and "from samples, and none are given" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    done = run(*asked, "--calibration", written(tmp_path, rows((SIZE + 1,))))
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert f"x in samples.npz has the shape 48 x {SIZE + 1}, and the model takes rows x {SIZE}" in done.stderr
    done = run(*asked, "--calibration", written(tmp_path, rows((SIZE,))), "--calibrate", "kl")
    assert done.returncode == 2 and "no way to calibrate 'kl'" in done.stderr
    done = run(*asked, "--calibration", tmp_path / "samples.npz", "--calibrate", "percentile", "--percentile", "3")
    assert done.returncode == 2 and "percentile of 3" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.onnx", "samples.npz"]
    done = run(*asked, "--calibration", tmp_path / "samples.npz", "--calibrate", "entropy", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])["calibration"]
    assert (told["method"], told["samples"], told["tensors"]) == ("entropy", 48, 3)
    assert {one["name"] for one in told["activations"]} == {"x", "t1", "r2"}


# Dies as by the kernel's out-of-memory killer, once two tensors are finished.
DYING = """
import os, signal, sys
from pathlib import Path
from jobs.quantization import Options, quantize
from jobs.quantization.journal import Journal

noted = Journal.finished
def note(journal, offset, snr_db):
    noted(journal, offset, snr_db)
    if len(journal._done) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
Journal.finished = note
quantize(Path(sys.argv[1]), Path(sys.argv[2]), "int8-static", Options(calibration=Path(sys.argv[3]), measure=False))
"""


def test_a_killed_one_goes_on_without_calibrating_again_and_gives_the_same_bytes(tmp_path: Path, monkeypatch):
    source, whole = calibrated(tmp_path, convolutions(), rows((3, 16, 16)))
    wanted = (tmp_path / "out.onnx").read_bytes()
    (tmp_path / "out.onnx").unlink()
    samples = tmp_path / "samples.npz"
    command = [sys.executable, "-c", DYING, str(source), str(tmp_path / "out.onnx"), str(samples)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL

    def never(*_: object) -> None:
        raise AssertionError("calibrated again")

    with monkeypatch.context() as patched:
        patched.setattr("jobs.quantization.calibration.ranges.capture", never)
        report = quantize(source, tmp_path / "out.onnx", "int8-static", Options(calibration=samples, measure=False))
    assert (tmp_path / "out.onnx").read_bytes() == wanted
    assert report.bytes_resumed > 0 and report.calibration == whole.calibration and report.layers == whole.layers


def test_another_sample_in_the_folder_is_another_calibration(tmp_path: Path):
    source = save(convolutions(), tmp_path / "in.onnx")
    (folder := tmp_path / "samples").mkdir()
    np.savez(folder / "a.npz", x=rows((3, 16, 16)))
    command = [sys.executable, "-c", DYING, str(source), str(tmp_path / "out.onnx"), str(folder)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    state = (folder / "a.npz").stat().st_mtime_ns + 1
    os.utime(folder / "a.npz", ns=(state, state))
    report = quantize(source, tmp_path / "out.onnx", "int8-static", Options(calibration=folder, measure=False))
    assert report.bytes_resumed == 0
