"""What a model is tried on when nobody gave samples: inputs that it takes, of the kind that it reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from jobs.conversion.checks import inspect
from jobs.quantization import quantize
from jobs.quantization.samples import Feed, made_up
from tests.jobs.quantization.models import FLOAT, model, port, save, weight
from tests.wheels import real


def made_for(path: Path) -> list[Feed]:
    return list(made_up(onnx.load(path), inspect(path).inputs).feeds)


@pytest.mark.parametrize("held", ["initializer", "Constant"])
def test_numbers_that_reach_a_table_by_way_of_a_cast_and_a_reshape_lie_within_it(tmp_path: Path, held):
    table = weight("table", 90, 96)
    nodes = [
        helper.make_node("Cast", ["x"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Unsqueeze", ["whole", "axis"], ["ids"]),
        helper.make_node("Gather", ["table", "ids"], ["y"]),
    ]
    axis = numpy_helper.from_array(np.array([0]), "axis")
    stored = [table, axis] if held == "initializer" else [axis]
    if held == "Constant":
        nodes.insert(0, helper.make_node("Constant", [], ["table"], value=table))
    path = save(model(nodes, stored, [port("x", FLOAT, "batch", "letters")]), tmp_path / "in.onnx")
    values = np.concatenate([feed["x"].ravel() for feed in made_for(path)])
    assert values.dtype == np.float32 and (values == np.rint(values)).all()
    assert 0 <= values.min() < 9 and 80 < values.max() < 90


def test_a_length_is_that_of_the_sequence_and_a_state_has_as_many_rows_as_the_input(tmp_path: Path):
    ports = [
        port("x", FLOAT, "batch", "length", 96),
        port("input_lengths", TensorProto.INT64, "batch"),
        port("past", FLOAT, 1, "batch", 8),
        port("state", FLOAT, 2, "rows", 128),
    ]
    path = save(model([helper.make_node("MatMul", ["x", "w"], ["y"])], [weight("w", 96, 64)], ports), tmp_path / "m")
    feed = made_for(path)[0]
    assert {name: values.shape for name, values in feed.items()} == {
        "x": (1, 32, 96), "input_lengths": (1,), "past": (1, 1, 8), "state": (2, 1, 128),
    }  # fmt: skip
    assert feed["input_lengths"].tolist() == [32]


def test_other_sizes_are_tried_where_the_original_does_not_run_on_the_first(tmp_path: Path):
    # 32 samples of a signal are no whole frame of 512.
    nodes = [
        helper.make_node("Reshape", ["signal", "frames"], ["cut"]),
        helper.make_node("MatMul", ["cut", "w"], ["y"]),
    ]
    stored = [weight("w", 512, 64), numpy_helper.from_array(np.array([-1, 512]), "frames")]
    path = save(model(nodes, stored, [port("signal", FLOAT, "batch", "samples")]), tmp_path / "in.onnx")
    found = quantize(path, tmp_path / "out.onnx", "int8-weight").agreement
    assert found.measured and found.cosine_min is not None and found.cosine_min > 0.999
    assert "generated" in found.on


def test_an_original_that_runs_on_no_made_up_input_is_told_as_not_measured(tmp_path: Path):
    nodes = [
        helper.make_node("Reshape", ["signal", "frames"], ["cut"]),
        helper.make_node("MatMul", ["cut", "w"], ["y"]),
    ]
    stored = [weight("w", 700, 64), numpy_helper.from_array(np.array([-1, 700]), "frames")]
    path = save(model(nodes, stored, [port("signal", FLOAT, "batch", "samples")]), tmp_path / "in.onnx")
    found = quantize(path, tmp_path / "out.onnx", "int8-weight").agreement
    assert not found.measured and "does not run the original" in found.on


def test_real_models_of_letters_are_given_letters():
    letters = np.concatenate([feed["input_1"].ravel() for feed in made_for(real.POINTS.path)])
    assert letters.min() >= 0 and 30 < letters.max() < 43
    feed = made_for(real.VOWELS.path)[0]
    assert feed["char_inputs"].max() > 40 and feed["input_lengths"].tolist() == [feed["char_inputs"].shape[1]]
