"""What flows through a model, read off its own run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from jobs.quantization.calibration.capture import capture, groups_of
from jobs.quantization.errors import QuantizationRefused
from jobs.quantization.samples import Samples
from tests.jobs.quantization.models import HALF, SIZE, matmul, model, save, weight


def chain() -> onnx.ModelProto:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "w"], ["y"]),
    ]
    return model(nodes, [weight("w", SIZE, SIZE)])


def rows(count: int, kind: type = np.float32) -> Samples:
    generator = np.random.default_rng(4)
    return Samples("here", [{"x": generator.standard_normal((1, SIZE)).astype(kind)} for _ in range(count)])


@pytest.mark.parametrize("beside", [False, True], ids=["weights in the model", "weights beside it"])
def test_each_sample_gives_the_named_tensors_and_the_model_stays_as_it_is(tmp_path: Path, beside):
    path, made = tmp_path / "in.onnx", chain()
    values = onnx.numpy_helper.to_array(made.graph.initializer[0])
    onnx.save(made, path, save_as_external_data=beside, location="in.data", size_threshold=0)
    before = {one: one.read_bytes() for one in tmp_path.iterdir()}
    samples = rows(3)
    taken = list(capture(path, ["r", "x", "y"], samples))
    assert {one: one.read_bytes() for one in tmp_path.iterdir()} == before
    for feed, found in zip(samples.feeds, taken, strict=True):
        wanted = np.maximum(feed["x"] @ values, 0)
        assert set(found) == {"x", "r", "y"} and found["x"] is feed["x"]
        np.testing.assert_allclose(found["r"], wanted, atol=1e-4)
        np.testing.assert_allclose(found["y"], wanted @ values, atol=1e-3)


def test_files_that_are_links_to_files_elsewhere_are_read_where_they_lie(tmp_path: Path):
    """As a job's are, whose blobs have other names."""
    for name in ("depot", "blobs", "work"):
        (tmp_path / name).mkdir()
    onnx.save(chain(), tmp_path / "work" / "in.onnx", save_as_external_data=True, location="in.data", size_threshold=0)
    wanted = [one["y"].tolist() for one in capture(tmp_path / "work" / "in.onnx", ["y"], rows(2))]
    for name, blob in (("in.onnx", "depot/aa"), ("in.data", "blobs/bb")):
        (tmp_path / "work" / name).rename(tmp_path / blob)
        (tmp_path / "work" / name).symlink_to(tmp_path / blob)
    assert [one["y"].tolist() for one in capture(tmp_path / "work" / "in.onnx", ["y"], rows(2))] == wanted
    save(chain(), tmp_path / "depot" / "cc")
    (tmp_path / "work" / "whole.onnx").symlink_to(tmp_path / "depot" / "cc")
    assert [one["y"].tolist() for one in capture(tmp_path / "work" / "whole.onnx", ["y"], rows(2))] == wanted


def test_tensors_keep_the_models_own_type_and_only_the_asked_sample_is_run(tmp_path: Path):
    path = save(matmul(HALF), tmp_path / "in.onnx")
    samples = Samples("here", [*rows(1, np.float16).feeds, {"x": np.ones((1, 3), np.float16)}])
    run = capture(path, ["y"], samples)
    assert next(run)["y"].dtype == np.float16
    with pytest.raises(QuantizationRefused, match=r"does not run in\.onnx on the calibration samples") as refused:
        next(run)
    assert refused.value.code == "model-unrunnable"
    with pytest.raises(ValueError, match="nowhere"):
        next(capture(path, ["nowhere"], samples))


def test_groups_hold_no_more_bytes_than_they_may(tmp_path: Path):
    path, feed = save(chain(), tmp_path / "in.onnx"), {"x": np.ones((10, SIZE), np.float32)}
    one = 10 * SIZE * 4
    assert groups_of(path, ["x", "h", "r", "y"], feed) == [["x", "h", "r", "y"]]
    assert groups_of(path, ["h", "r", "y"], feed, 2 * one) == [["h", "r"], ["y"]]
    assert groups_of(path, ["h", "r"], feed, 1) == [["h"], ["r"]]
