"""A budget for what may be lost: what is kept higher for it, what that costs, and what if it can't be held."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import helper

from jobs.quantization import Report, quantize
from jobs.quantization.errors import BudgetNotHeld, QuantizationRefused
from jobs.quantization.options import Options
from tests.jobs.quantization.models import FLOAT, SIZE, matmul, model, port, save, weight
from tests.jobs.quantization.sensitive import chain, coarse, labelled, skewed

ROOT = Path(__file__).resolve().parents[3]
ROWS = 200


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    np.savez(tmp_path / "samples.npz", x=np.random.default_rng(5).standard_normal((ROWS, SIZE)).astype(np.float32))
    return tmp_path / "samples.npz"


def same_answers(source: Path, result: Path, samples: Path) -> float:
    rows = np.load(samples)["x"]
    before, after = (onnxruntime.InferenceSession(path).run(None, {"x": rows})[0] for path in (source, result))
    return float((before.argmax(-1) == after.argmax(-1)).mean())


def test_the_weight_that_costs_most_stays_at_8_bits_and_the_report_says_what_that_took(tmp_path: Path, samples: Path):
    source = save(chain(weight("a", SIZE, SIZE), skewed("b", 2), weight("c", SIZE, 64, seed=3)), tmp_path / "in.onnx")
    options = Options(calibration=samples, block=32)
    plain = quantize(source, tmp_path / "plain.onnx", "int4", options)
    alone = 1 - same_answers(source, tmp_path / "plain.onnx", samples)
    asked = 0.3
    assert alone > asked
    report = quantize(source, tmp_path / "out.onnx", "int4", Options(calibration=samples, block=32, budget=asked))
    budget = report.budget
    assert budget is not None and budget.held and budget.of == "agreement" and budget.on.startswith("samples.npz")
    assert budget.lost_by_scheme == pytest.approx(alone, abs=1e-4)
    assert budget.lost == pytest.approx(1 - same_answers(source, tmp_path / "out.onnx", samples), abs=1e-4)
    assert budget.lost <= asked
    [kept] = budget.kept
    assert (kept.name, kept.precision, budget.layers_kept) == ("b", "int8", 1)
    sizes = [(tmp_path / name).stat().st_size for name in ("plain.onnx", "out.onnx")]
    assert budget.bytes_more == sizes[1] - sizes[0] == report.bytes_after - plain.bytes_after
    # 8 bits and a scale for each column, for 4 bits and a scale for each 32 values.
    assert (kept.bytes, kept.bytes_more) == (SIZE * SIZE + SIZE * 4, SIZE * SIZE // 2 + SIZE * 4 - SIZE * 3 * 4)
    costs = {layer.name: layer.sensitivity for layer in report.layers}
    assert set(costs) == {"a", "b", "c"} and max(costs, key=lambda name: costs[name] or 0) == "b"
    assert {layer.name: layer.bits for layer in report.layers} == {"a": 4, "b": 8, "c": 4}


@pytest.mark.parametrize("scheme", ["int8-weight", "int8-dynamic", "int4"])
def test_a_weight_that_8_bits_ruin_stays_in_float(tmp_path: Path, samples: Path, scheme):
    source = save(chain(weight("a", SIZE, SIZE), coarse("b", 2), weight("c", SIZE, 64, seed=3)), tmp_path / "in.onnx")
    report = quantize(source, tmp_path / "out.onnx", scheme, Options(calibration=samples, block=32, budget=0.2))
    assert report.budget is not None and report.agreement.agreement is not None
    assert report.budget.lost_by_scheme > 0.2 >= report.budget.lost
    assert same_answers(source, tmp_path / "out.onnx", samples) == pytest.approx(report.agreement.agreement, abs=1e-4)
    ruined = next(kept for kept in report.budget.kept if kept.name == "b")
    assert ruined.precision in ("float", "int8" if scheme == "int4" else "float")
    if scheme != "int4":
        assert ruined.bytes == SIZE * SIZE * 4 and "b" not in {layer.name for layer in report.layers}
        assert [(left.reason, left.tensors) for left in report.left if "budget" in left.reason] == [
            ("kept for the accuracy budget", 1)
        ]


def test_a_budget_that_leaves_nothing_at_4_bits_says_so(tmp_path: Path, samples: Path):
    source = save(matmul(), tmp_path / "in.onnx")
    report = quantize(source, tmp_path / "out.onnx", "int4", Options(calibration=samples, budget=0.02))
    assert report.budget is not None and report.budget.lost <= 0.02 < report.budget.lost_by_scheme
    assert [layer.bits for layer in report.layers] == [8]
    assert "Nothing of this model could be kept in 4 bits: it is what int8-weight makes." in report.warnings


def test_a_budget_that_holds_at_once_costs_nothing(tmp_path: Path, samples: Path):
    source = save(matmul(), tmp_path / "in.onnx")
    report = quantize(source, tmp_path / "out.onnx", "int8-weight", Options(calibration=samples, budget=0.2))
    budget = report.budget
    assert budget is not None and budget.lost == budget.lost_by_scheme <= 0.2
    assert (budget.kept, budget.bytes_more, budget.measurements) == ([], 0, 1)
    assert not any("budget" in warning for warning in report.warnings)


def test_what_it_is_held_on_is_said_when_nobody_gave_samples_or_too_few(tmp_path: Path):
    source = save(matmul(), tmp_path / "in.onnx")
    report = quantize(source, tmp_path / "out.onnx", "int8-weight", Options(budget=0.01))
    assert report.budget is not None and "generated inputs" in report.budget.on
    assert [warning for warning in report.warnings if "random" in warning]
    assert [warning for warning in report.warnings if "less than one of the 16 rows" in warning]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jobs.quantization", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def test_a_budget_that_cannot_be_held_writes_nothing_and_ends_with_3_and_one_line(tmp_path: Path, samples: Path):
    source = save(chain(coarse("a", 1), coarse("b", 2)), tmp_path / "in.onnx")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    done = run(source, tmp_path / "out.onnx", "--scheme", "int8-weight", "--calibration", samples, "--budget", "0.02")
    assert done.returncode == 3, done.stderr
    [line] = done.stderr.splitlines()
    assert "in.onnx loses 0." in line and "at best" in line and "of 2 weights kept higher; 0.02 may" in line
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    with pytest.raises(BudgetNotHeld) as refused:
        quantize(source, tmp_path / "out.onnx", "int8-weight", Options(calibration=samples, budget=0.02))
    assert refused.value.code == "budget-not-held" and refused.value.mend


@pytest.mark.parametrize("asked", ["-0.1", "1", "nan"])
def test_a_budget_that_is_no_share_is_bad_input(tmp_path: Path, asked):
    source = save(matmul(), tmp_path / "in.onnx")
    with pytest.raises(QuantizationRefused) as refused:
        quantize(source, tmp_path / "out.onnx", "int4", Options(budget=float(asked)))
    assert (refused.value.code, refused.value.exit_status) == ("budget-invalid", 2)


def test_a_budget_without_measuring_or_without_classes_is_refused(tmp_path: Path):
    source = save(matmul(), tmp_path / "in.onnx")
    with pytest.raises(QuantizationRefused) as refused:
        quantize(source, tmp_path / "out.onnx", "int4", Options(budget=0.02, measure=False))
    assert refused.value.code == "budget-invalid"
    nodes = [helper.make_node("MatMul", ["x", "w"], ["wide"]), helper.make_node("ReduceSum", ["wide"], ["y"])]
    one_number = model(nodes, [weight("w", SIZE, 64)], out=port("y", FLOAT, 1, 1))
    with pytest.raises(QuantizationRefused) as refused:
        quantize(save(one_number, source), tmp_path / "out.onnx", "int4", Options(budget=0.02))
    assert refused.value.code == "budget-not-measurable"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.onnx"]


def held(tmp_path: Path) -> tuple[Report, int]:
    source, profile, asked, rows = labelled(tmp_path)
    options = Options(calibration=asked, profile=profile, budget=0.05)
    return quantize(source, tmp_path / "out.onnx", "int8-weight", options), rows


def test_on_a_labelled_set_the_budget_is_of_right_answers(tmp_path: Path):
    report, rows = held(tmp_path)
    assert report.budget is not None and report.budget.of == "accuracy"
    assert report.agreement.accuracy_before == pytest.approx((rows - 2) / rows, abs=1e-4)
    assert report.budget.lost_by_scheme > 0.5 and report.budget.lost <= 0.05
    assert [(kept.name, kept.precision) for kept in report.budget.kept] == [("b", "float")]
