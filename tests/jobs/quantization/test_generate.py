"""The generator of large models: what it makes runs, is as large as asked, and quantizes as a decoder should."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jobs.quantization import quantize
from jobs.quantization.bench_large import quantized
from jobs.quantization.errors import QuantizationRefused
from jobs.quantization.generate import Shape, generate, shape_for
from jobs.quantization.options import Options
from tests.jobs.quantization.models import answer


@pytest.mark.parametrize("size", [10**6, 5 * 10**7, 6 * 10**9, 26 * 10**9])
def test_a_shape_takes_about_the_bytes_that_were_asked_for(size: int):
    assert 0.6 < shape_for(size).weights * 4 / size < 1.01


def test_layers_and_width_that_are_given_are_kept_and_a_size_without_room_is_refused():
    assert shape_for(10**8, layers=3).layers == 3
    assert (shape_for(10**8, hidden=256).hidden, shape_for(10**8, 3, 512)) == (256, Shape(3, 512, 6080))
    with pytest.raises(QuantizationRefused):
        shape_for(1000)


def test_a_generated_decoder_looks_at_earlier_words_only_and_quantizes_under_a_memory_limit(tmp_path: Path):
    source, out = tmp_path / "in.onnx", tmp_path / "out.onnx"
    size = generate(source, shape_for(3_000_000))
    assert size == sum(path.stat().st_size for path in tmp_path.iterdir())
    words = np.arange(8).reshape(1, 8)
    wanted = answer(source, {"input_ids": words})
    changed = words.copy()
    changed[0, 5] = 99
    again = answer(source, {"input_ids": changed})
    np.testing.assert_allclose(again[:, :5], wanted[:, :5], atol=1e-5)
    assert np.abs(again[:, 5:] - wanted[:, 5:]).max() > 0.1
    # The child's own: what its parent holds when it starts it is not counted.
    ballast = np.ones(600 << 20, np.uint8)
    _, rss_mb = quantized(source, out, "int8-weight", 2 * 10**9)
    assert rss_mb < 500 < ballast.nbytes >> 20
    got = answer(out, {"input_ids": words})
    assert np.linalg.norm(wanted - got) / np.linalg.norm(wanted) < 0.05


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(tmp_path: Path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        generate(tmp_path / name, shape_for(10**6), seed)
    one, two, other = ((tmp_path / f"{name}.data").read_bytes() for name in "abc")
    assert one == two != other
    report = quantize(tmp_path / "a", tmp_path / "out.onnx", "int4", Options(measure=False))
    assert {group.kind for group in report.groups} == {"Gather", "MatMul"} and report.weights_ratio > 4
