"""4-bit weights in both forms: what is written is what was meant, and ONNX Runtime reads it as that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from jobs.quantization import quantize
from jobs.quantization.errors import QuantizationRefused
from jobs.quantization.options import Options
from tests.jobs.quantization.models import (
    FLOAT,
    HALF,
    SIZE,
    answer,
    feed_for,
    gemm,
    loop_of_its_own,
    matmul,
    model,
    port,
    save,
    weight,
)

FORMS = ["nbits", "dequantize"]


def transposed(opset: int) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Transpose", ["w"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "turned"], ["y"]),
    ]
    return model(nodes, [weight("w", 64, SIZE)], opset=opset)


def with_opset(made: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    made.opset_import[0].version = opset
    made.ir_version = 10
    return made


MODELS = {
    "MatMul": lambda: matmul(),
    "MatMul float16": lambda: matmul(HALF),
    "Gemm": lambda: gemm(),
    "Gemm transB": lambda: gemm(transB=1),
    "Transpose": lambda: transposed(21),
}


@pytest.mark.parametrize("zero_points", [False, True], ids=["symmetric", "zero points"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", MODELS)
def test_a_product_with_4_bit_weights_answers_nearly_as_its_original(tmp_path: Path, name, form, zero_points):
    source, out = save(with_opset(MODELS[name](), 21), tmp_path / "in.onnx"), tmp_path / "out.onnx"
    report = quantize(source, out, "int4", Options(measure=False, form=form, block=32, zero_points=zero_points))
    [layer] = report.layers
    assert (layer.bits, layer.block) == (4, 32)
    # 4 bits, and of each block of 32 a scale (and a nibble).
    width = 2 if name.endswith("float16") else 4
    zeros = 1 if zero_points else 0
    blocks = SIZE * 64 // 32
    assert SIZE * 32 + blocks * width + blocks * zeros // 2 <= layer.bytes_after <= SIZE * 32 + blocks * (width + zeros)
    feed = feed_for(source)
    wanted, got = answer(source, feed).astype(np.float64), answer(out, feed).astype(np.float64)
    assert np.linalg.norm(wanted - got) / np.linalg.norm(wanted) < 0.12
    assert 17 < layer.snr_db < 30


def blocked(values: np.ndarray, size: int, zero_points: bool) -> np.ndarray:
    """What [inputs, outputs] become in 4 bits, reckoned plainly."""
    cut = values.astype(np.float64).reshape(-1, size, values.shape[1])
    if zero_points:
        low, top = np.minimum(cut.min(1, keepdims=True), 0), np.maximum(cut.max(1, keepdims=True), 0)
        scale = ((top - low) / 15).astype(np.float32)
        zero = np.clip(np.rint(-low / scale), 0, 15)
    else:
        far = np.take_along_axis(cut, np.abs(cut).argmax(1, keepdims=True), 1)
        scale, zero = (far / -8).astype(np.float32), 8
    steps = np.clip(np.rint(cut / scale + zero), 0, 15)
    return ((steps - zero) * scale).reshape(values.shape)


@pytest.mark.parametrize("zero_points", [False, True], ids=["symmetric", "zero points"])
@pytest.mark.parametrize("form", FORMS)
def test_what_onnx_runtime_multiplies_with_is_exactly_the_nearest_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form, zero_points
):
    # The identity brings the weight itself out. An odd number of blocks, the last not full where the form allows it.
    inputs, outputs = 100 if form == "nbits" else 96, 1_402
    values = (np.random.default_rng(3).standard_normal((inputs, outputs)) + 0.3).astype(np.float32)
    made = model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [numpy_helper.from_array(values, "w")],
        [port("x", FLOAT, "rows", inputs)],
    )
    source, out = save(with_opset(made, 21), tmp_path / "in.onnx"), tmp_path / "out.onnx"
    options = Options(measure=False, form=form, block=32, zero_points=zero_points)
    report = quantize(source, out, "int4", options)
    got = answer(out, {"x": np.eye(inputs, dtype=np.float32)})
    size = report.layers[0].block
    wanted = blocked(np.pad(values, ((0, -inputs % size), (0, 0))), size, zero_points)[:inputs]
    # A value half-way between two steps may go either way in float32.
    off = np.abs(got - wanted) > 1e-4
    assert off.mean() < 1e-4, off.mean()
    error = float(((values - wanted) ** 2).sum())
    assert report.layers[0].snr_db == pytest.approx(10 * np.log10(float((values**2).sum()) / error), abs=0.02)
    # As one too large for memory and caches is read: strips, pieces and tiles of columns, none a multiple of another.
    for limit, most in (("GATHERED", 500 * 64), ("PIECE", 170 * 32), ("TILE", 90 * 32)):
        monkeypatch.setattr(f"jobs.quantization.blocks.{limit}", most)
    again = quantize(source, tmp_path / "again.onnx", "int4", options)
    assert (tmp_path / "again.onnx").read_bytes() == out.read_bytes()
    assert again.layers[0].snr_db == pytest.approx(report.layers[0].snr_db, abs=0.02)


def reached(values: np.ndarray, size: int, zero_points: bool) -> np.ndarray:
    """What a table's [entries, width] become, reckoned plainly."""
    return blocked(values.astype(np.float64).T, size, zero_points).T


@pytest.mark.parametrize("zero_points", [False, True], ids=["symmetric", "zero points"])
@pytest.mark.parametrize("width", [FLOAT, HALF], ids=["float32", "float16"])
def test_an_embeddings_rows_are_looked_up_in_4_bits(tmp_path: Path, width, zero_points):
    # An odd number of blocks to a row; an id may count from the end.
    table = weight("table", 300, 96, kind=width)
    nodes = [helper.make_node("Gather", ["table", "ids"], ["y"])]
    made = model(nodes, [table], [port("ids", TensorProto.INT64, "n", "m")], out=port("y", width, "n", "m", 96))
    source, out = save(made, tmp_path / "in.onnx"), tmp_path / "out.onnx"
    report = quantize(source, out, "int4", Options(measure=False, block=32, zero_points=zero_points))
    assert [(layer.name, layer.bits, layer.block) for layer in report.layers] == [("table", 4, 32)]
    ids = np.array([[0, 299, 7], [-1, 7, 8]])
    wanted = reached(numpy_helper.to_array(table), 32, zero_points)[ids]
    got = answer(out, {"ids": ids})
    # A value half-way between two steps may go either way; float16 keeps 11 bits.
    assert (np.abs(got - wanted) > 2e-3).mean() < 0.01


@pytest.mark.parametrize("zero_points", [False, True], ids=["symmetric", "zero points"])
def test_a_table_tied_to_the_output_is_stored_once_and_read_by_both(tmp_path: Path, zero_points):
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("Transpose", ["table"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["rows", "turned"], ["y"]),
    ]
    table = weight("table", 300, SIZE)
    made = model(nodes, [table], [port("ids", TensorProto.INT64, "n")])
    source, out = save(made, tmp_path / "in.onnx"), tmp_path / "out.onnx"
    report = quantize(source, out, "int4", Options(measure=False, block=32, zero_points=zero_points))
    assert [(layer.bits, layer.block) for layer in report.layers] == [(4, 32)]
    assert sum(len(one.raw_data) for one in onnx.load(out).graph.initializer) < 0.17 * 300 * SIZE * 4
    ids = np.array([3, 299, 0])
    values = reached(numpy_helper.to_array(table), 32, zero_points)
    wanted, got = values[ids] @ values.T, answer(out, {"ids": ids})
    assert np.linalg.norm(wanted - got) / np.linalg.norm(wanted) < 0.02


def test_a_table_that_somebody_else_reads_stays_8_bit(tmp_path: Path):
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("Identity", ["table"], ["same"]),
        helper.make_node("Gather", ["same", "ids"], ["others"]),
        helper.make_node("Add", ["rows", "others"], ["y"]),
    ]
    made = model(nodes, [weight("table", 300, SIZE)], [port("ids", TensorProto.INT64, "n")])
    source, out = save(made, tmp_path / "in.onnx"), tmp_path / "out.onnx"
    report = quantize(source, out, "int4", Options(measure=False))
    assert [layer.bits for layer in report.layers] == [8]
    answer(out, {"ids": np.array([3, 299, 0])})


@pytest.mark.parametrize("form", FORMS)
def test_what_is_no_right_hand_matrix_is_8_bit_and_the_report_says_so(tmp_path: Path, form):
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("MatMul", ["rows", "w"], ["wide"]),
        helper.make_node("MatMul", ["wide", "odd"], ["y"]),
    ]
    stored = [weight("table", 300, SIZE), weight("w", SIZE, 90), weight("odd", 90, 64)]
    made = with_opset(model(nodes, stored, [port("ids", TensorProto.INT64, "n")]), 21)
    source, out = save(made, tmp_path / "in.onnx"), tmp_path / "out.onnx"
    report = quantize(source, out, "int4", Options(measure=False, form=form))
    # Standard ONNX looks nothing up in 4 bits, and wants whole blocks here: 90 inputs are no multiple of 16.
    assert {layer.name: (layer.bits, layer.block) for layer in report.layers} == {
        "table": (4, 32) if form == "nbits" else (8, None),
        "w": (4, 32),
        "odd": (4, 32) if form == "nbits" else (8, None),
    }
    assert {one.domain for one in onnx.load(out).opset_import} == {"", *(["com.microsoft"] if form == "nbits" else [])}
    feed = {"ids": np.arange(20)}
    wanted, got = answer(source, feed), answer(out, feed)
    assert np.linalg.norm(wanted - got) / np.linalg.norm(wanted) < 0.2


@pytest.mark.parametrize("method", ["rtn", "gptq"])
@pytest.mark.parametrize("zero_points", [False, True], ids=["symmetric", "zero points"])
@pytest.mark.parametrize(("inputs", "asked", "block"), [(400, 128, 64), (100, 128, 128), (259, 64, 32)])
@pytest.mark.parametrize("turned", [0, 1])
def test_a_summed_side_that_blocks_do_not_divide_has_a_last_block_that_is_not_full(
    tmp_path: Path, inputs, asked, block, turned, zero_points, method
):
    outputs = 75
    values = (np.random.default_rng(3).standard_normal((inputs, outputs)) + 0.3).astype(np.float32)
    node = helper.make_node("Gemm", ["x", "w"], ["y"], transB=turned)
    stored = [numpy_helper.from_array(np.ascontiguousarray(values.T) if turned else values, "w")]
    source = save(model([node], stored, [port("x", FLOAT, "rows", inputs)]), tmp_path / "in.onnx")
    samples = tmp_path / "samples.npz"
    np.savez(samples, x=np.random.default_rng(4).standard_normal((inputs, inputs)).astype(np.float32))
    settings = Options(measure=False, block=asked, zero_points=zero_points, method=method, calibration=samples)
    report = quantize(source, tmp_path / "out.onnx", "int4", settings)
    [layer] = report.layers
    blocks = -(-inputs // block)
    zeros = -(-blocks // 2) if zero_points else 0
    assert (layer.bits, layer.block) == (4, block)
    assert layer.bytes_after == outputs * (blocks * (block // 2 + 4) + zeros)
    got = answer(tmp_path / "out.onnx", {"x": np.eye(inputs, dtype=np.float32)})
    wanted = blocked(np.pad(values, ((0, blocks * block - inputs), (0, 0))), block, zero_points)[:inputs]
    if method == "rtn":
        assert (np.abs(got - wanted) > 1e-4).mean() < 1e-3
    # What ONNX Runtime multiplies with is what the report's figure is of.
    noise = 10 * np.log10((values.astype(np.float64) ** 2).sum() / ((values - got) ** 2).sum())
    assert layer.snr_db == pytest.approx(noise, abs=0.05)


@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_the_signal_to_noise_ratio_of_very_small_and_very_large_weights_is_a_number(tmp_path: Path, factor):
    found = []
    for by in (1.0, factor):
        values = np.random.default_rng(4).standard_normal((96, 96)).astype(np.float32) * np.float32(by)
        made = model([helper.make_node("MatMul", ["x", "w"], ["y"])], [numpy_helper.from_array(values, "w")])
        source = save(made, tmp_path / "in.onnx")
        found.append(quantize(source, tmp_path / "out.onnx", "int4", Options(measure=False)).layers[0].snr_db)
    assert abs(found[0] - found[1]) < 0.1


def test_a_weight_that_somebody_else_reads_too_stays_readable(tmp_path: Path):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["once"]),
        helper.make_node("Identity", ["w"], ["same"]),
        helper.make_node("MatMul", ["once", "same"], ["y"]),
    ]
    source = save(model(nodes, [weight("w", SIZE, SIZE)], opset=21, ir=10), tmp_path / "in.onnx")
    for form, bits in (("nbits", 8), ("dequantize", 4)):
        report = quantize(source, tmp_path / f"{form}.onnx", "int4", Options(measure=False, form=form))
        assert report.layers[0].bits == bits
        answer(tmp_path / f"{form}.onnx", feed_for(source))


def test_a_block_that_is_none_and_an_opset_without_blocks_are_refused(tmp_path: Path):
    source = save(matmul(), tmp_path / "in.onnx")
    for asked, says in (({"block": 48}, "32 or 64 or 128"), ({"form": "plain"}, "nbits or dequantize")):
        with pytest.raises(QuantizationRefused) as refused:
            quantize(source, tmp_path / "out.onnx", "int4", Options(**asked))
        assert says in refused.value.mend
    with pytest.raises(QuantizationRefused, match="opset 13; DequantizeLinear has blocks from opset 21"):
        quantize(source, tmp_path / "out.onnx", "int4", Options(form="dequantize"))


def test_a_block_of_zeros_stays_zero_and_one_with_nan_is_left(tmp_path: Path):
    values = np.random.default_rng(1).standard_normal((SIZE, 64)).astype(np.float32)
    values[:32] = 0
    for form in FORMS:
        made = matmul(opset=21, ir=10)
        made.graph.initializer[0].CopyFrom(numpy_helper.from_array(values, "w"))
        source = save(made, tmp_path / "in.onnx")
        quantize(source, tmp_path / "out.onnx", "int4", Options(measure=False, form=form, block=32))
        feed = {"x": np.pad(np.ones((1, 32), np.float32), ((0, 0), (0, SIZE - 32)))}
        assert not answer(tmp_path / "out.onnx", feed).any()
    values[0, 0] = np.nan
    made.graph.initializer[0].CopyFrom(numpy_helper.from_array(values, "w"))
    source = save(made, tmp_path / "in.onnx")
    with pytest.raises(QuantizationRefused, match="no weight that int4 covers"):
        quantize(source, tmp_path / "out.onnx", "int4", Options(measure=False))


@pytest.mark.parametrize("form", FORMS)
def test_weights_that_stand_in_bodies_become_4_bit_where_the_bodies_multiply_by_them(tmp_path: Path, form):
    source = save(with_opset(loop_of_its_own(), 21), tmp_path / "in.onnx")
    report = quantize(source, tmp_path / "out.onnx", "int4", Options(measure=False, form=form, block=32))
    assert [layer.bits for layer in report.layers] == [4] * 4
    # Both branches of the If call theirs `mine`.
    assert len({layer.name for layer in report.layers}) == 4
    feed = feed_for(source)
    wanted, got = answer(source, feed), answer(tmp_path / "out.onnx", feed)
    assert np.linalg.norm(wanted - got) / np.linalg.norm(wanted) < 0.3
