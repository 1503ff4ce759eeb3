"""Mending an ONNX model: what comes out is of the asked form and computes what went in."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from jobs.conversion.errors import ConversionRefused
from jobs.conversion.mend import Wish, mend, mended
from jobs.conversion.mend.trial import Trial
from tests.conventions.test_project import ROOT

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def save(path: Path, nodes, inputs, outputs, constants, opset: int, **kept) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in inputs],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(values), name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, path, **kept)
    return path


def exported(path: Path, opset: int = 17, **kept) -> Path:
    """What an exporter writes: a weight, shape arithmetic around a Reshape with allowzero, a Slice to the end."""
    chance = np.random.default_rng(1)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"]),
        helper.make_node("Shape", ["p"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"], axis=0),
        helper.make_node("Unsqueeze", ["n", "axes"], ["n1"]),
        helper.make_node("Mul", ["two", "four"], ["eight"]),
        helper.make_node("Concat", ["n1", "eight", "eight"], ["target"], axis=0),
        helper.make_node("Reshape", ["p", "target"], ["r"], **({"allowzero": 0} if opset > 13 else {})),
        helper.make_node("Slice", ["r", "one1", "end", "two1"], ["y"]),
    ]
    constants = {
        "w": chance.standard_normal((32, 64)).astype(np.float32), "zero": np.int64(0), "axes": np.array([0]),
        "two": np.array([2]), "four": np.array([4]), "one1": np.array([1]), "end": np.array([2**63 - 1]),
        "two1": np.array([2]),
    }  # fmt: skip
    return save(path, nodes, [("x", FLOAT, ["batch", 32])], ["y"], constants, opset, **kept)


def kinds(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


def ran(path: Path, **feed) -> np.ndarray:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, feed)[0]


@pytest.mark.parametrize("opset", [11, 13, 15, 18, 21])
def test_a_model_is_brought_to_another_opset_and_computes_the_same(tmp_path: Path, opset):
    source = exported(tmp_path / "in.onnx", 17)
    report = mend(source, tmp_path / "out.onnx", Wish(opset=opset))
    assert (report.source.opset, report.result.opset, report.trial.runs) == (17, opset, 2)
    x = np.random.default_rng(2).standard_normal((3, 32)).astype(np.float32)
    np.testing.assert_allclose(ran(source, x=x), ran(tmp_path / "out.onnx", x=x), rtol=1e-5)


def test_a_way_down_that_the_converter_lacks_is_found_where_the_operator_is_the_same(tmp_path: Path):
    """Reshape 14 and BatchNormalization 15 have no rule down; without their new attributes they are what they were."""
    nodes = [
        helper.make_node("BatchNormalization", ["x", "s", "b", "m", "v"], ["n"], training_mode=0),
        helper.make_node("Reshape", ["n", "flat"], ["y"], allowzero=0),
    ]
    ones = np.linspace(1, 2, 3, dtype=np.float32)
    constants = {"s": ones, "b": ones, "m": ones, "v": ones, "flat": np.array([0, -1])}
    source = save(tmp_path / "in.onnx", nodes, [("x", FLOAT, ["b", 3, 4, 4])], ["y"], constants, 15)
    assert mend(source, tmp_path / "out.onnx", Wish(opset=13)).result.opset == 13
    given = onnx.load(source)
    given.graph.node[1].attribute[0].i = 1
    onnx.save(given, source)
    with pytest.raises(ConversionRefused, match="Reshape has no rule"):
        mend(source, tmp_path / "no.onnx", Wish(opset=13))


@pytest.mark.parametrize("opset", [11, 12, 13])
def test_operators_that_were_not_there_before_are_said_in_older_ones_in_bodies_as_well(tmp_path: Path, opset):
    def branch(name: str, node: onnx.NodeProto) -> onnx.GraphProto:
        return helper.make_graph([node], name, [], [helper.make_tensor_value_info(node.output[0], FLOAT, None)])

    nodes = [
        helper.make_node("Resize", ["x", "", "scales"], ["large"], mode="nearest"),
        helper.make_node("HardSwish", ["large"], ["h"]),
        helper.make_node("Dropout", ["h", "ratio", "train"], ["d"]),
        helper.make_node(
            "If",
            ["yes"],
            ["y"],
            then_branch=branch("then", helper.make_node("HardSwish", ["d"], ["deep"])),
            else_branch=branch("else", helper.make_node("Relu", ["d"], ["flat"])),
        ),
    ]
    constants = {
        "scales": np.array([1, 1, 2, 2], np.float32), "ratio": np.float32(0.5), "train": np.array(False),
        "yes": np.array(True),
    }  # fmt: skip
    source = save(tmp_path / "in.onnx", nodes, [("x", FLOAT, [1, 3, 4, 4])], ["y"], constants, 15)
    report = mend(source, tmp_path / "out.onnx", Wish(opset=opset))
    assert (report.result.opset, report.trial.runs, report.trial.told) == (opset, 2, "")
    assert "ai.onnx::HardSwish" not in report.result.operators and report.result.operators["ai.onnx::HardSigmoid"] == 2
    x = np.linspace(-4, 4, 48, dtype=np.float32).reshape(1, 3, 4, 4)
    np.testing.assert_allclose(ran(source, x=x), ran(tmp_path / "out.onnx", x=x), rtol=1e-5, atol=1e-6)


def test_softmax_and_its_kin_mean_the_same_on_either_side_of_opset_13(tmp_path: Path, monkeypatch):
    """One axis since, several as one before; the trial, which would notice, is left out."""

    def branch(name: str, *nodes: onnx.NodeProto) -> onnx.GraphProto:
        return helper.make_graph(nodes, name, [], [helper.make_tensor_value_info(nodes[-1].output[0], FLOAT, None)])

    asked = [("Softmax", {}), ("Softmax", {"axis": 1}), ("LogSoftmax", {"axis": 0}), ("Hardmax", {"axis": -2})]
    nodes = [helper.make_node(kind, ["x"], [f"y{at}"], **axis) for at, (kind, axis) in enumerate(asked)]
    inner = helper.make_node("Softmax", ["x"], ["deep"], axis=1)
    bodies = {
        "then_branch": branch("then", inner),
        "else_branch": branch("else", helper.make_node("Relu", ["x"], ["r"])),
    }
    nodes.append(helper.make_node("If", ["yes"], ["y4"], **bodies))
    monkeypatch.setattr("jobs.conversion.mend.mended.compare", lambda *given: Trial(0, 0.0))
    x = np.random.default_rng(2).standard_normal((3, 4, 5)).astype(np.float32)

    def answers(path: Path) -> list[np.ndarray]:
        return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"x": x})

    for now, *others in ((17, 12, 9), (11, 13, 18), (9, 17)):
        outputs = [f"y{at}" for at in range(5)]
        source = save(tmp_path / "in.onnx", nodes, [("x", FLOAT, ["b", 4, "n"])], outputs, {"yes": np.array(True)}, now)
        for opset in others:
            mend(source, tmp_path / "out.onnx", Wish(opset=opset))
            for name, old, new in zip(outputs, answers(source), answers(tmp_path / "out.onnx"), strict=True):
                np.testing.assert_allclose(new, old, atol=1e-6, err_msg=f"{name} from {now} to {opset}")


def test_a_softmax_whose_axis_cannot_be_placed_is_refused_on_the_way_down(tmp_path: Path):
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["r"]), helper.make_node("Softmax", ["r"], ["y"], axis=1)]
    inputs = [("x", FLOAT, ["b", 4]), ("shape", INT64, ["rank"])]
    source = save(tmp_path / "in.onnx", nodes, inputs, ["y"], {}, 13)
    with pytest.raises(ConversionRefused, match="Softmax of y works on axis 1 of values whose number of axes"):
        mend(source, tmp_path / "out.onnx", Wish(opset=11))
    # The other way it need not be known.
    source = save(tmp_path / "in.onnx", nodes, inputs, ["y"], {}, 11)
    mend(source, tmp_path / "out.onnx", Wish(opset=13))
    given = {"x": np.linspace(-1, 1, 24, dtype=np.float32).reshape(6, 4), "shape": np.array([2, 3, 4])}
    np.testing.assert_allclose(ran(source, **given), ran(tmp_path / "out.onnx", **given), atol=1e-6)


def test_a_dropout_that_is_told_to_train_is_not_passed_by(tmp_path: Path):
    nodes = [helper.make_node("Dropout", ["x", "ratio", "train"], ["y"])]
    constants = {"ratio": np.float32(0.5), "train": np.array(True)}
    source = save(tmp_path / "in.onnx", nodes, [("x", FLOAT, [1, 3])], ["y"], constants, 15)
    with pytest.raises(ConversionRefused) as refused:
        mend(source, tmp_path / "out.onnx", Wish(opset=12))
    assert refused.value.code in ("opset-no-way", "mend-changed") and not (tmp_path / "out.onnx").exists()


def test_with_fixed_sizes_all_shape_arithmetic_is_folded_and_no_size_is_left_open(tmp_path: Path):
    source = exported(tmp_path / "in.onnx")
    free = mend(source, tmp_path / "free.onnx", Wish(fold=True))
    # The batch is free: only 2 * 4 is constant.
    assert free.folded == 1 and "Shape" in kinds(tmp_path / "free.onnx")
    assert {one.name: one.open for one in free.shapes}["x"] == "the input leaves batch free" and free.open > 1
    report = mend(source, tmp_path / "out.onnx", Wish(fold=True, fix_shape={"x": (3, 32)}))
    assert kinds(tmp_path / "out.onnx") == ["MatMul", "Reshape", "Slice"]
    assert (report.fixed, report.open, report.result.inputs[0].shape) == (1, 0, [3, 32])
    x = np.ones((3, 32), np.float32)
    np.testing.assert_array_equal(ran(source, x=x), ran(tmp_path / "out.onnx", x=x))


def test_a_size_that_depends_on_values_is_named_as_such(tmp_path: Path):
    nodes = [
        helper.make_node("NonZero", ["x"], ["where"], name="find"),
        helper.make_node("Cast", ["where"], ["y"], to=1),
    ]
    source = save(tmp_path / "in.onnx", nodes, [("x", FLOAT, [2, 3])], ["y"], {}, 13)
    reasons = {one.name: one.open for one in mend(source, tmp_path / "out.onnx", Wish(fold=True)).shapes}
    assert reasons["x"] == "" and reasons["where"] == reasons["y"] == "NonZero find makes a size that depends on values"


def test_int64_constants_become_int32_only_where_the_operator_takes_either(tmp_path: Path):
    source = exported(tmp_path / "in.onnx")
    assert mend(source, tmp_path / "out.onnx", Wish(int32=True)).narrowed == 4
    held = {one.name: one.data_type for one in onnx.load(tmp_path / "out.onnx").graph.initializer}
    assert {name for name, kind in held.items() if kind == TensorProto.INT32} == {
        "zero_int32", "one1_int32", "end_int32", "two1_int32",
    }  # fmt: skip
    # Unsqueeze and the target of Reshape take int64 only.
    assert held["axes"] == held["two"] == INT64


def test_opset_imports_that_nothing_uses_are_dropped(tmp_path: Path):
    source = exported(tmp_path / "in.onnx")
    model = onnx.load(source)
    model.opset_import.append(helper.make_opsetid("Paddle", 1))
    onnx.save(model, source)
    assert mend(source, tmp_path / "out.onnx", Wish()).result.domains == ["ai.onnx"]


def test_quantized_weights_are_not_folded_into_floats(tmp_path: Path):
    nodes = [helper.make_node("DequantizeLinear", ["q", "s"], ["w"]), helper.make_node("MatMul", ["x", "w"], ["y"])]
    constants = {"q": np.arange(8, dtype=np.int8).reshape(4, 2), "s": np.float32(0.5)}
    source = save(tmp_path / "in.onnx", nodes, [("x", FLOAT, ["b", 4])], ["y"], constants, 13)
    assert mend(source, tmp_path / "out.onnx", Wish(fold=True)).folded == 0


def test_weights_beside_the_model_are_taken_along_and_written_beside_it_when_they_are_many(tmp_path: Path, monkeypatch):
    source = exported(tmp_path / "in.onnx", save_as_external_data=True, location="in.data", size_threshold=1024)
    assert mend(source, tmp_path / "whole.onnx", Wish(opset=15)).result.external_data == []
    monkeypatch.setattr(mended, "INLINE_LIMIT", 1000)
    report = mend(source, tmp_path / "out.onnx", Wish(opset=15))
    assert report.result.external_data == ["out.onnx.data"]
    x = np.ones((3, 32), np.float32)
    np.testing.assert_array_equal(ran(source, x=x), ran(tmp_path / "out.onnx", x=x))


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        (Wish(opset=3), "opset-unknown"),
        (Wish(opset=9), "opset-no-way"),
        (Wish(fix_shape={"z": (1,)}), "input-unknown"),
        (Wish(fix_shape={"x": (1, 31)}), "input-size"),
        (Wish(fix_shape={"x": (1, 32, 1)}), "input-rank"),
        (Wish(fix_shape={"x": (-1, 32)}), "input-dynamic"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(tmp_path: Path, wish, code):
    source = exported(tmp_path / "in.onnx")
    with pytest.raises(ConversionRefused) as refused:
        mend(source, tmp_path / "out.onnx", wish)
    assert refused.value.code == code and list(tmp_path.iterdir()) == [source]
    with pytest.raises(ConversionRefused) as refused:
        mend(source, source, Wish(fold=True))
    assert refused.value.code == "output-is-input"


def test_constants_that_do_not_go_together_are_refused_in_one_sentence(tmp_path: Path):
    nodes = [helper.make_node("Reshape", ["k", "to"], ["c"]), helper.make_node("Add", ["x", "c"], ["y"])]
    constants = {"k": np.zeros(6, np.float32), "to": np.array([0, 4])}
    source = save(tmp_path / "in.onnx", nodes, [("x", FLOAT, ["b", 4])], ["y"], constants, 13)
    with pytest.raises(ConversionRefused) as refused:
        mend(source, tmp_path / "out.onnx", Wish(fold=True))
    assert refused.value.code in ("fold-failed", "shapes-contradict") and "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == [source]


def test_a_mended_model_that_computes_something_else_is_not_written(tmp_path: Path, monkeypatch):
    source = exported(tmp_path / "in.onnx")

    def spoil(model: onnx.ModelProto, path: Path) -> int:
        model.graph.node[0].op_type = "Add"
        return 1

    monkeypatch.setattr(mended, "fold", spoil)
    with pytest.raises(ConversionRefused) as refused:
        mend(source, tmp_path / "out.onnx", Wish(fold=True))
    assert refused.value.code == "mend-changed" and list(tmp_path.iterdir()) == [source]


def test_the_command_prints_its_report_last_and_refuses_what_is_no_model_in_one_line(tmp_path: Path):
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "jobs.conversion.mend", *arguments, "--json"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)

    source, out = str(exported(tmp_path / "in.onnx")), str(tmp_path / "out.onnx")
    good = run(source, out, "--opset", "15", "--fold", "--int32", "--fix-shape", "x:2,32")
    report = json.loads(good.stdout.splitlines()[-1])
    assert (good.returncode, report["result"]["opset"], report["open"], report["trial"]["told"]) == (0, 15, 0, "")
    (tmp_path / "lfs.onnx").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    bad = run(str(tmp_path / "lfs.onnx"), out)
    assert bad.returncode == 2 and len(bad.stderr.splitlines()) == 1 and "Git LFS" in bad.stderr
