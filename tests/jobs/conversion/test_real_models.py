from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from jobs.conversion.checks import check_model, read_profiles
from jobs.conversion.errors import ConversionRefused
from jobs.conversion.mend import Wish, mend
from jobs.quantization import quantize
from jobs.quantization.options import Options
from tests.wheels import real
from tests.wheels.real import Real, answers


@pytest.mark.parametrize(
    ("name", "opset", "inputs", "free"),
    [
        ("reader", 12, {"input1": [1, 1, 64, "image_width"]}, True),
        ("detector", 11, {"images": [1, 3, 416, 416]}, False),
        ("orientation", 15, {"x": ["DynamicDimension.0", 3, 224, 224]}, True),
        ("layout", 13, {"image": [1, 3, 800, 608]}, False),
        ("yolo", 17, {"images": ["batch", 3, "height", "width"]}, True),
        ("points", 15, {"input_1": ["unk__1915", "unk__1916"]}, True),
    ],
)
def test_the_report_says_a_real_models_opset_and_which_sizes_are_open(name, opset, inputs, free):
    report = check_model(real.ALL[name].path).model
    assert (report.opset, {port.name: port.shape for port in report.inputs}) == (opset, inputs)
    assert any(port.free for port in report.inputs) == free and report.bytes == real.ALL[name].path.stat().st_size


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("yolo", "opset-unsupported", "opset 17; CANN 8.0 reads 11 to 15"),
        ("vowels", "opset-unsupported", "opset 16; CANN 8.0 reads 11 to 15"),
        ("layout", "domains-unsupported", "Paddle, ai.onnx"),
        ("points", "domains-unsupported", "ai.onnx, ai.onnx.ml"),
        ("reader, quantized", "operator-unsupported", "ConvInteger"),
    ],
)
def test_what_cann_8_would_refuse_of_real_models_is_refused_before_a_machine_is_bothered(name, code, says):
    with pytest.raises(ConversionRefused) as refused:
        check_model(real.ALL[name].path, cann="8.0.0")
    assert refused.value.code == code and says in refused.value.message and "\n" not in str(refused.value)
    # The next test does what the mend says.
    assert ("mend it" in refused.value.mend.lower()) == (name != "reader, quantized")


def test_open_sizes_of_real_models_are_held_against_input_shape_and_profiles():
    with pytest.raises(ConversionRefused) as refused:
        check_model(real.READER.path, cann="8.0.0", input_shape="image:1,1,64,160")
    assert refused.value.code == "input-unknown" and "input1" in refused.value.message
    with pytest.raises(ConversionRefused) as refused:
        check_model(real.READER.path, cann="8.0.0", input_shape="input1:1,1,32,160")
    assert refused.value.code == "input-size"
    assert not check_model(real.READER.path, cann="8.0.0", input_shape="input1:1,1,64,160").warnings
    widths = read_profiles(dims="160;320")
    assert check_model(real.READER.path, cann="8.0.0", input_shape="input1:1,1,64,-1", profiles=widths).profiles
    batches = read_profiles(batch="1,4,8")
    check_model(real.ORIENTATION.path, cann="8.0.0", input_shape="x:-1,3,224,224", profiles=batches)
    with pytest.raises(ConversionRefused) as refused:
        check_model(real.DETECTOR.path, cann="8.0.0", input_shape="images:-1,3,416,416", profiles=batches)
    assert refused.value.code == "profiles-fixed"


@pytest.mark.parametrize(
    ("name", "wish", "shape"),
    [
        ("yolo", Wish(opset=15, fold=True, fix_shape={"images": (1, 3, 320, 320)}), "images:1,3,320,320"),
        ("vowels", Wish(opset=15, fold=True, int32=True), None),
        ("points", Wish(), None),
        ("reader", Wish(opset=15, fold=True), None),
    ],
)
def test_a_real_model_that_cann_8_would_refuse_is_mended_until_it_passes(tmp_path: Path, name, wish, shape):
    model: Real = real.ALL[name]
    report = mend(model.path, tmp_path / "out.onnx", wish)
    assert report.trial.runs and report.trial.difference < 1e-4
    onnx.checker.check_model(str(tmp_path / "out.onnx"))
    checked = check_model(tmp_path / "out.onnx", cann="8.0.0", input_shape=shape)
    assert checked.model.domains == ["ai.onnx"] and checked.model.opset == 15
    if model.feeds is not None:
        feeds = model.feeds(model.path)
        for wanted, got in zip(answers(model.path, feeds), answers(tmp_path / "out.onnx", feeds), strict=True):
            for one, other in zip(wanted, got, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)


def test_operators_in_the_bodies_of_a_real_models_loops_are_counted():
    # Four LSTMs, each a Loop.
    found = check_model(real.POINTS.path).model.operators
    assert (found["ai.onnx::Loop"], found["ai.onnx::MatMul"], found["ai.onnx::Sigmoid"]) == (4, 20, 24)


# HardSwish is newer than 13, and Dropout had other inputs before 13.
@pytest.mark.parametrize(("name", "opset"), [("orientation", 13), ("vowels", 12)])
def test_a_real_model_goes_to_an_opset_that_lacks_one_of_its_operators(tmp_path: Path, name, opset):
    model: Real = real.ALL[name]
    report = mend(model.path, tmp_path / "out.onnx", Wish(opset=opset))
    assert (report.result.opset, report.trial.runs, report.trial.told) == (opset, 2, "")
    assert model.feeds is not None
    feeds = model.feeds(model.path)
    for wanted, got in zip(answers(model.path, feeds), answers(tmp_path / "out.onnx", feeds), strict=True):
        np.testing.assert_allclose(wanted[-1], got[-1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("opset", [11, 21])
def test_a_real_model_goes_to_older_and_newer_opsets_and_reads_the_same(tmp_path: Path, opset):
    # Of opset 12; its converted forms are tried on made-up pictures by the mending itself.
    report = mend(real.READER.path, tmp_path / "out.onnx", Wish(opset=opset))
    assert (report.result.opset, report.trial.runs, report.trial.told) == (opset, 2, "")


def broken(cut: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(cut(path.read_bytes())) and None


def beside(harm: Callable[[Path], object]) -> Callable[[Path], None]:
    """The same model with its weights beside it, and what is then done to those."""

    def make(path: Path) -> None:
        content = onnx.load(path)
        onnx.save(content, path, save_as_external_data=True, location="weights.data", size_threshold=1024)
        harm(path.with_name("weights.data"))

    return make


@pytest.mark.parametrize(
    ("harm", "code"),
    [
        (broken(lambda whole: b""), "file-empty"),
        (broken(lambda whole: whole[: len(whole) // 2]), "onnx-truncated"),
        (broken(lambda whole: whole[:-1]), "onnx-truncated"),
        (broken(lambda whole: whole[1000:]), "not-onnx"),
        (broken(lambda whole: b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n"), "lfs-pointer"),
        (broken(lambda whole: b"<!DOCTYPE html>" + whole), "not-onnx"),
        (beside(lambda data: data.unlink()), "external-missing"),
        (beside(lambda data: data.write_bytes(data.read_bytes()[:-4096])), "external-truncated"),
        (beside(lambda data: data.write_bytes(b"")), "external-truncated"),
    ],
    ids=["empty", "half", "last byte", "first bytes", "LFS pointer", "a page", "no data", "cut data", "empty data"],
)
def test_a_broken_real_model_is_refused_in_one_sentence_by_every_reader(tmp_path: Path, harm, code):
    path, out = tmp_path / "model.onnx", tmp_path / "out.onnx"
    path.write_bytes(real.VOWELS.path.read_bytes())
    harm(path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    readers: list[Callable[[], object]] = [
        lambda: check_model(path, cann="8.0.0"),
        lambda: mend(path, out, Wish(fold=True)),
        lambda: quantize(path, out, "int8-weight", Options(measure=False)),
    ]
    for read in readers:
        with pytest.raises(ConversionRefused) as refused:
            read()
        assert refused.value.code == code and refused.value.mend and "\n" not in str(refused.value)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_real_model_with_bytes_of_its_graph_changed_never_raises_anything_but_a_refusal(tmp_path: Path):
    whole = real.VOWELS.path.read_bytes()
    path = tmp_path / "model.onnx"
    chance = random.Random(5)
    for _ in range(12):
        # The nodes stand before the weights.
        harmed = bytearray(whole)
        harmed[chance.randrange(120_000)] = chance.randrange(256)
        path.write_bytes(harmed)
        for read in (check_model, lambda file: quantize(file, tmp_path / "o", "int8-weight", Options(measure=False))):
            try:
                read(path)
            except ConversionRefused as refused:
                assert refused.mend and "\n" not in str(refused)
