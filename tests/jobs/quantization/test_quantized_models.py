from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from jobs.conversion.checks.operators import unread
from jobs.quantization import Report, quantize
from jobs.quantization.measure import agreement_of
from jobs.quantization.options import Options
from jobs.quantization.samples import Samples
from tests.jobs.quantization import models
from tests.jobs.quantization.models import HALF, answer, feed_for, save, weight

MODELS: dict[str, Callable[[], onnx.ModelProto]] = {
    "MatMul": models.matmul,
    "MatMul float16": lambda: models.matmul(HALF),
    "MatMul opset 11": lambda: models.matmul(opset=11, ir=6),
    "MatMul opset 21": lambda: models.matmul(opset=21, ir=10),
    "weight on the left": models.left_matmul,
    "batched MatMul": models.batched_matmul,
    "Transpose before MatMul": models.transposed,
    "Constant node": models.constant_node,
    "one weight, two readers": models.shared,
    "Gemm": models.gemm,
    "Gemm transB": lambda: models.gemm(transB=1),
    "Gemm alpha": lambda: models.gemm(alpha=0.5),
    "Conv": models.convolution,
    "LSTM": lambda: models.recurrent("LSTM"),
    "GRU": lambda: models.recurrent("GRU"),
    "batches on the left": models.left_batched_matmul,
    "Gather": models.embedding,
    "Gather float16": lambda: models.embedding(HALF),
    "tied embedding": models.tied,
    "If with an outer weight": lambda: models.branches(own=False),
    "If with weights of its own": lambda: models.branches(own=True),
    "Loop": models.loop,
    "Loop that hands its weight on": models.loop_that_hands_on,
    "Loop with weights of its own": models.loop_of_its_own,
}


# Of the others one weight is quantized.
TENSORS = {"If with an outer weight": 2, "If with weights of its own": 3, "Loop with weights of its own": 4}
TENSORS |= {"LSTM": 2, "GRU": 2}


def kinds(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


def check(source: Path, scheme: str, out: Path, **settings) -> Report:
    report = quantize(source, out, scheme, Options(measure=False, **settings))
    feed = feed_for(source)
    wanted, got = answer(source, feed), answer(out, feed)
    assert wanted.shape == got.shape
    error = np.linalg.norm(wanted - got) / np.linalg.norm(wanted)
    assert error < (0.02 if scheme == "int8-weight" else 0.04), error
    return report


@pytest.mark.parametrize("limit", [1 << 30, 0], ids=["in one file", "weights beside it"])
@pytest.mark.parametrize("scheme", ["int8-weight", "int8-dynamic"])
@pytest.mark.parametrize("name", MODELS)
def test_a_quantized_model_answers_as_its_original_does(tmp_path: Path, name, scheme, limit):
    source = save(MODELS[name](), tmp_path / "in.onnx")
    out = tmp_path / "out.onnx"
    report = check(source, scheme, out, inline_limit=limit)
    assert report.tensors_quantized == TENSORS.get(name, 1) and report.weights_ratio > 1.7
    files = {"in.onnx", "out.onnx"} | ({"out.onnx.data"} if not limit else set())
    assert {path.name for path in tmp_path.iterdir()} == files
    assert report.bytes_after == sum((tmp_path / name).stat().st_size for name in files - {"in.onnx"})


@pytest.mark.parametrize("opset", [7, 9, 10, 12])
@pytest.mark.parametrize("form", ["plain", "dequantize"])
def test_int8_weight_takes_opsets_before_dequantize_linear_knew_an_axis(tmp_path: Path, opset, form):
    source = save(models.matmul(opset=opset, ir=4), tmp_path / "in.onnx")
    check(source, "int8-weight", tmp_path / "out.onnx", form=form)
    assert kinds(tmp_path / "out.onnx") == ["Cast", "Mul", "MatMul"]
    assert opset == onnx.load(tmp_path / "out.onnx").opset_import[0].version


@pytest.mark.parametrize("name", MODELS)
def test_the_plain_form_has_only_operators_that_atc_reads_and_the_other_form_answers_as_well(tmp_path: Path, name):
    source = save(MODELS[name](), tmp_path / "in.onnx")
    for form in ("plain", "dequantize"):
        check(source, "int8-weight", tmp_path / f"{form}.onnx", form=form)
    refused = [entry.operators for entry in unread() if entry.refuse]
    assert not frozenset().union(*refused) & set(kinds(tmp_path / "plain.onnx"))


def test_a_model_from_before_ir_4_that_lists_its_weights_as_inputs_loses_only_those(tmp_path: Path):
    old = models.matmul(opset=8, ir=3)
    old.graph.input.append(models.port("w", TensorProto.FLOAT, models.SIZE, 64))
    source = save(old, tmp_path / "in.onnx")
    quantize(source, tmp_path / "out.onnx", "int8-weight", Options(measure=False))
    assert [value.name for value in onnx.load(tmp_path / "out.onnx").graph.input] == ["x"]
    feed = {"x": np.ones((2, models.SIZE), np.float32)}
    np.testing.assert_allclose(answer(source, feed), answer(tmp_path / "out.onnx", feed), rtol=0.05, atol=0.05)


def test_no_value_is_further_from_its_original_than_half_a_step_in_any_type_and_layout(tmp_path: Path):
    for kind in (models.FLOAT, models.HALF, models.BRAIN):
        for transposed in (0, 1):
            shape = (300, 700) if transposed else (700, 300)
            tensor = weight("w", *shape, kind=kind)
            node = helper.make_node("Gemm", ["x", "w"], ["y"], transB=transposed)
            content = models.model([node], [tensor], [models.port("x", kind, "rows", 700)])
            source = save(content, tmp_path / "in.onnx")
            report = quantize(source, tmp_path / "out.onnx", "int8-weight", Options(measure=False))
            stored = {t.name: numpy_helper.to_array(t) for t in onnx.load(tmp_path / "out.onnx").graph.initializer}
            scale = next(values for name, values in stored.items() if name.startswith("w_scale"))
            original = numpy_helper.to_array(tensor).astype(np.float32)
            error = np.abs(stored["w_quantized"] * scale - original)
            assert stored["w_quantized"].dtype == np.int8 and (error <= scale * 0.501).all()
            signal = 10 * np.log10((original**2).sum() / (error**2).sum())
            assert abs(report.layers[0].snr_db - signal) < 0.1


def test_a_shared_weight_is_quantized_once_and_both_readers_read_it(tmp_path: Path):
    source = save(models.shared(), tmp_path / "in.onnx")
    for scheme in ("int8-weight", "int8-dynamic"):
        report = quantize(source, tmp_path / "out.onnx", scheme, Options(measure=False))
        stored = [tensor.name for tensor in onnx.load(tmp_path / "out.onnx").graph.initializer]
        assert (report.tensors_quantized, sorted(stored)) == (1, ["w_quantized", "w_scale"])


def test_int8_dynamic_multiplies_in_integers_and_quantizes_an_activation_once_for_all_its_readers(tmp_path: Path):
    nodes = [helper.make_node("MatMul", ["x", name], [f"{name}_out"]) for name in ("query", "key", "value")]
    nodes.append(helper.make_node("Sum", ["query_out", "key_out", "value_out"], ["y"]))
    content = models.model(nodes, [weight(name, 96, 64, seed=i) for i, name in enumerate(("query", "key", "value"))])
    report = check(save(content, tmp_path / "in.onnx"), "int8-dynamic", tmp_path / "out.onnx")
    made = kinds(tmp_path / "out.onnx")
    assert report.integer_products == made.count("MatMulInteger") == 3
    assert made.count("DynamicQuantizeLinear") == 1


def test_what_is_quantized_already_small_or_read_otherwise_is_left_and_the_report_says_why(tmp_path: Path):
    nodes = [
        helper.make_node("DequantizeLinear", ["done", "done_scale"], ["ready"]),
        helper.make_node("MatMul", ["x", "ready"], ["a"]),
        helper.make_node("MatMul", ["a", "w"], ["b"]),
        helper.make_node("Add", ["b", "grid"], ["c"]),
        helper.make_node("MatMul", ["c", "little"], ["y"]),
    ]
    stored = [
        numpy_helper.from_array(np.ones((96, 96), np.int8), "done"),
        numpy_helper.from_array(np.float32(0.1), "done_scale"),
        weight("w", 96, 96),
        weight("grid", 96, 96),
        weight("little", 96, 2),
    ]
    content = models.model(nodes, stored, [models.port("x", TensorProto.FLOAT, 96, 96)])
    source = save(content, tmp_path / "in.onnx")
    report = quantize(source, tmp_path / "out.onnx", "int8-weight", Options(measure=False))
    assert [layer.name for layer in report.layers] == ["w"]
    reasons = {group.reason: group.largest for group in report.left}
    assert reasons["already quantized"] == ["done"] and reasons["read by Add"] == ["grid"]
    assert reasons["small"] == ["little"]
    again = quantize(source, tmp_path / "again.onnx", "int8-weight", Options(measure=False))
    assert again.sha256 == report.sha256


def test_a_weight_with_nan_is_left_alone_with_a_warning_and_a_row_of_zeros_stays_zero(tmp_path: Path):
    bad, zeros = (np.random.default_rng(3).standard_normal((96, 96)).astype(np.float32) for _ in range(2))
    bad[5, 7] = np.nan
    zeros[:, 3] = 0
    nodes = [helper.make_node("MatMul", ["x", "zeros"], ["h"]), helper.make_node("MatMul", ["h", "bad"], ["y"])]
    content = models.model(nodes, [numpy_helper.from_array(bad, "bad"), numpy_helper.from_array(zeros, "zeros")])
    report = quantize(save(content, tmp_path / "in.onnx"), tmp_path / "out.onnx", "int8-weight", Options())
    assert [layer.name for layer in report.layers] == ["zeros"] and "bad holds NaN" in report.warnings[0]
    # An original that answers NaN has no answer that another could agree with.
    assert report.agreement.measured and report.agreement.agreement is None
    stored = {t.name: numpy_helper.to_array(t) for t in onnx.load(tmp_path / "out.onnx").graph.initializer}
    assert not stored["zeros_quantized"][:, 3].any() and np.isnan(stored["bad"][5, 7])


def test_an_answer_of_nan_where_the_original_has_one_is_a_wrong_answer():
    right = np.array([[0.0, 1.0], [1.0, 0.0]], np.float32)
    broken = np.array([[np.nan, np.nan], [1.0, 0.0]], np.float32)
    samples = Samples("two rows", [], labels=[1, 0])
    for name, wanted, got, agreed in (("after", right, broken, 0.5), ("before", broken, right, 1.0)):
        told = agreement_of([[wanted[:1]], [wanted[1:]]], [[got[:1]], [got[1:]]], samples)
        assert told.agreement == agreed, name
        accuracy = (1.0, 0.5) if name == "after" else (None, None)
        assert (told.accuracy_before, told.accuracy_after) == accuracy, name


def test_a_scheme_that_reaches_nothing_of_the_model_says_so(tmp_path: Path):
    source = save(models.convolution(), tmp_path / "in.onnx")
    said = {
        scheme: quantize(source, tmp_path / "out.onnx", scheme, Options(measure=False)).warnings
        for scheme in ("int8-weight", "int8-dynamic", "int4")
    }
    assert not said["int8-weight"] and ["integers" in line for line in said["int8-dynamic"]] == [True]
    assert ["4 bits" in line for line in said["int4"]] == [True]
    source = save(models.matmul(), tmp_path / "in.onnx")
    for scheme in said:
        assert not quantize(source, tmp_path / "out.onnx", scheme, Options(measure=False)).warnings


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("factor", [1e-30, 1e-15, 1e15, 1e30])
def test_the_signal_to_noise_ratio_of_very_small_and_very_large_weights_is_a_number(tmp_path: Path, factor, transposed):
    reports = []
    for by in (1.0, factor):
        values = np.random.default_rng(4).standard_normal((96, 96)).astype(np.float32) * np.float32(by)
        node = helper.make_node("Gemm", ["x", "w"], ["y"], transB=transposed)
        content = models.model([node], [numpy_helper.from_array(values, "w")])
        source = save(content, tmp_path / "in.onnx")
        reports.append(quantize(source, tmp_path / "out.onnx", "int8-weight", Options(measure=False)))
    assert abs(reports[0].layers[0].snr_db - reports[1].layers[0].snr_db) < 0.1


def test_infinities_that_both_models_give_are_no_difference_and_the_report_is_strict_json(tmp_path: Path):
    values = np.zeros((1, 64), np.float32)
    values[0, ::2] = -np.inf
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Add", ["h", "mask"], ["y"])]
    content = models.model(nodes, [weight("w", models.SIZE, 64), numpy_helper.from_array(values, "mask")])
    report = quantize(save(content, tmp_path / "in.onnx"), tmp_path / "out.onnx", "int8-weight", Options())
    json.dumps(report.to_json(), allow_nan=False)
    found = report.agreement
    assert found.measured and found.cosine_min is not None and found.largest_difference is not None
    assert 0.999 < found.cosine_min < 1 and 0 < found.largest_difference < 1


def test_names_in_any_script_and_names_that_ours_would_collide_with_are_kept_apart(tmp_path: Path):
    nodes = [
        helper.make_node("MatMul", ["x", "权重/é"], ["h"]),
        helper.make_node("MatMul", ["h", "w"], ["w_quantized"]),
        helper.make_node("Relu", ["w_quantized"], ["y"]),
    ]
    content = models.model(nodes, [weight("权重/é", 96, 96), weight("w", 96, 96, seed=2)])
    for scheme in ("int8-weight", "int8-dynamic"):
        assert check(save(content, tmp_path / "in.onnx"), scheme, tmp_path / "out.onnx").tensors_quantized == 2


@pytest.mark.parametrize("limit", [1 << 30, 0], ids=["in one file", "weights beside it"])
def test_weights_beside_the_source_are_read_from_there_and_never_written_to(tmp_path: Path, limit):
    content = models.tied()
    onnx.save(content, tmp_path / "in.onnx", save_as_external_data=True, location="in.data", size_threshold=0)

    def sums() -> list[str]:
        return [hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("in.onnx", "in.data")]

    before = sums()
    report = check(tmp_path / "in.onnx", "int8-weight", tmp_path / "out.onnx", inline_limit=limit)
    assert sums() == before and set(report.source_sha256.values()) == set(before)
    assert report.bytes_before == sum((tmp_path / name).stat().st_size for name in ("in.onnx", "in.data"))


def test_progress_only_rises_and_ends_at_one(tmp_path: Path):
    told: list[float] = []
    source = save(models.shared(), tmp_path / "in.onnx")
    quantize(source, tmp_path / "out.onnx", "int8-weight", progress=lambda share, line: told.append(share))
    assert told == sorted(told) and told[-1] == 1.0
