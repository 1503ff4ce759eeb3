"""HQQ and GPTQ lose less than rounding to nearest, in both forms, and say where they could not be used."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from jobs.quantization import quantize
from jobs.quantization.methods.moments import Moments
from jobs.quantization.options import Options
from tests.jobs.quantization.models import FLOAT, HALF, SIZE, answer, gemm, loop, matmul, model, port, save, weight
from tests.jobs.quantization.test_int4 import transposed, with_opset

ROOT = Path(__file__).resolve().parents[3]
FORMS = ["nbits", "dequantize"]
ROWS = 256


def correlated(seed: int, rows: int = ROWS, kind: type = np.float32, size: int = SIZE) -> np.ndarray:
    """Inputs that lie near a few directions, as those of real layers do."""
    directions = np.random.default_rng(0).standard_normal((size // 8, size))
    generator = np.random.default_rng(seed)
    mixed = generator.standard_normal((rows, size // 8)) @ directions
    return (mixed + 0.3 * generator.standard_normal((rows, size))).astype(kind)


@pytest.fixture
def calibration(tmp_path: Path) -> Path:
    np.savez(tmp_path / "samples.npz", x=correlated(1))
    return tmp_path / "samples.npz"


def lost(source: Path, out: Path, inputs: np.ndarray) -> float:
    """The output's error, as a share of the output, that ONNX Runtime makes with what was written."""
    wanted, got = answer(source, {"x": inputs}), answer(out, {"x": inputs})
    return float(np.linalg.norm(wanted - got) / np.linalg.norm(wanted))


def losses(source: Path, methods: tuple[str, ...], inputs: np.ndarray, **settings) -> list[float]:
    found = []
    for method in methods:
        out = source.with_name(f"{method}.onnx")
        report = quantize(source, out, "int4", Options(measure=False, method=method, **settings))
        assert report.parameters["method"] == method
        assert {(layer.bits, layer.method) for layer in report.layers} == {(4, method)}
        found.append(lost(source, out, inputs))
    return found


PRODUCTS = {
    "MatMul": lambda: matmul(),
    "MatMul float16": lambda: matmul(HALF),
    "Gemm transB": lambda: gemm(transB=1),
    "Transpose": lambda: transposed(21),
}


@pytest.mark.parametrize("zero_points", [False, True], ids=["symmetric", "zero points"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", PRODUCTS)
def test_gptq_loses_less_of_the_output_than_the_nearest_steps_on_inputs_it_has_not_seen(
    tmp_path: Path, calibration: Path, name, form, zero_points
):
    source = save(with_opset(PRODUCTS[name](), 21), tmp_path / "in.onnx")
    kind = np.float16 if name.endswith("16") else np.float32
    rtn, gptq = losses(
        source,
        ("rtn", "gptq"),
        correlated(2, kind=kind),
        form=form,
        block=32,
        zero_points=zero_points,
        calibration=calibration,
    )
    assert gptq < 0.75 * rtn, (gptq, rtn)


def heavy_tailed(inputs: int, outputs: int) -> onnx.ModelProto:
    values = np.random.default_rng(3).standard_t(3, (inputs, outputs)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    made = model(nodes, [numpy_helper.from_array(values, "w")], [port("x", FLOAT, "rows", inputs)])
    return with_opset(made, 21)


@pytest.mark.parametrize("zero_points", [False, True], ids=["symmetric", "zero points"])
@pytest.mark.parametrize("form", FORMS)
def test_hqq_loses_less_of_heavy_tailed_weights_than_the_nearest_steps_and_of_no_block_more(
    tmp_path: Path, form, zero_points
):
    inputs, size = 256, 64
    source = save(heavy_tailed(inputs, 120), tmp_path / "in.onnx")
    random = np.random.default_rng(5).standard_normal((ROWS, inputs)).astype(np.float32)
    settings = {"form": form, "block": size, "zero_points": zero_points}
    rtn, hqq = losses(source, ("rtn", "hqq"), random, **settings)
    assert hqq < 0.98 * rtn, (hqq, rtn)
    # The identity brings the weights themselves out.
    own = np.eye(inputs, dtype=np.float32)
    wanted = answer(source, {"x": own})
    errors = [
        np.square(wanted - answer(tmp_path / f"{method}.onnx", {"x": own})).reshape(-1, size, 120).sum(1)
        for method in ("rtn", "hqq")
    ]
    assert (errors[1] <= errors[0] * 1.0001).all()


def test_weights_with_the_same_inputs_and_one_with_several_are_all_corrected_in_the_memory_there_is(tmp_path: Path):
    # In 1 MiB there is room for one tensor's second moments at a time.
    size = 256
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["one"]),
        helper.make_node("MatMul", ["x", "b"], ["two"]),
        helper.make_node("MatMul", ["one", "c"], ["three"]),
        helper.make_node("MatMul", ["two", "c"], ["four"]),
        helper.make_node("Add", ["three", "four"], ["y"]),
    ]
    stored = [weight(name, size, size, seed=seed) for seed, name in enumerate("abc")]
    source = save(model(nodes, stored, [port("x", FLOAT, "rows", size)]), tmp_path / "in.onnx")
    np.savez(tmp_path / "samples.npz", x=correlated(1, size=size))
    settings = {"block": 32, "calibration": tmp_path / "samples.npz"}
    unseen = correlated(2, size=size)
    rtn, gptq = losses(source, ("rtn", "gptq"), unseen, **settings)
    assert gptq < 0.75 * rtn
    lines: list[str] = []
    options = Options(measure=False, method="gptq", memory_mib=1, **settings)
    quantize(source, tmp_path / "small.onnx", "int4", options, lambda share, line: lines.append(line))
    assert [line for line in lines if "pass 2 of 2" in line]
    assert lost(source, tmp_path / "small.onnx", unseen) == pytest.approx(gptq, rel=0.05)


def test_a_width_that_blocks_do_not_divide_is_corrected_up_to_its_last_input(tmp_path: Path):
    size = 90
    made = model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], [weight("w", size, 64)], [port("x", FLOAT, "n", size)]
    )
    source = save(made, tmp_path / "in.onnx")
    np.savez(tmp_path / "samples.npz", x=correlated(1, size=size))
    for zero_points in (False, True):
        settings = {"block": 32, "zero_points": zero_points, "calibration": tmp_path / "samples.npz"}
        rtn, gptq = losses(source, ("rtn", "gptq"), correlated(2, size=size), **settings)
        assert gptq < 0.75 * rtn


def test_what_gptq_can_do_nothing_with_is_made_by_hqq_and_the_report_says_so(tmp_path: Path, calibration: Path):
    looped = loop()
    looped.graph.node.insert(0, helper.make_node("MatMul", ["x", "first"], ["h"]))
    looped.graph.node[1].input[2] = "h"
    looped.graph.initializer.append(weight("first", SIZE, SIZE, seed=4))
    source = save(looped, tmp_path / "in.onnx")
    options = Options(method="gptq", block=32, calibration=calibration)
    report = quantize(source, tmp_path / "out.onnx", "int4", options)
    assert {layer.name: layer.method for layer in report.layers} == {"first": "gptq", "w": "hqq"}
    assert [warning for warning in report.warnings if "HQQ instead of GPTQ for w: is multiplied inside" in warning]
    # 256 rows are compared, 128 of which it was fitted on.
    assert [warning for warning in report.warnings if "128 of the 256 rows" in warning]
    assert report.fitted is not None and (report.fitted.rows, report.fitted.on) == (128, "samples.npz (256 rows)")


def test_inputs_that_are_always_0_or_not_finite_are_no_ground_to_correct_on(tmp_path: Path):
    source = save(matmul(), tmp_path / "in.onnx")
    for value, says in ((0, "all 0"), (np.nan, "NaN")):
        np.savez(tmp_path / "samples.npz", x=np.full((4, SIZE), value, np.float32))
        options = Options(measure=False, method="gptq", calibration=tmp_path / "samples.npz")
        report = quantize(source, tmp_path / "out.onnx", "int4", options)
        assert report.layers[0].method == "hqq" and says in report.warnings[0]


def test_fewer_samples_than_inputs_are_enough(tmp_path: Path):
    source = save(matmul(), tmp_path / "in.onnx")
    np.savez(tmp_path / "few.npz", x=correlated(1, rows=SIZE // 6))
    settings = {"block": 32, "calibration": tmp_path / "few.npz"}
    rtn, gptq = losses(source, ("rtn", "gptq"), correlated(2), **settings)
    assert gptq < rtn


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jobs.quantization", *map(str, arguments), "--json"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def test_the_command_line_takes_a_method_and_refuses_one_that_cannot_be_in_one_sentence(
    tmp_path: Path, calibration: Path
):
    source, out = save(matmul(), tmp_path / "in.onnx"), tmp_path / "out.onnx"
    good = run(source, out, "--scheme", "int4", "--method", "gptq", "--calibration", calibration)
    assert good.returncode == 0, good.stderr
    report = json.loads(good.stdout.splitlines()[-1])
    assert report["parameters"]["method"] == report["layers"][0]["method"] == "gptq"
    assert report["fitted"]["rows"] == 128
    assert "reading the inputs of layers on 128 samples, pass 1 of 1" in good.stderr
    wide = save(model([helper.make_node("MatMul", ["x", "w"], ["y"])], [weight("w", 512, 64)],
                      [port("x", FLOAT, "rows", 512)]), tmp_path / "wide.onnx")  # fmt: skip
    np.savez(tmp_path / "wide.npz", x=np.ones((4, 512), np.float32))
    for arguments, says in (
        ((source, out, "--scheme", "int4", "--method", "gptq"), "no calibration is given"),
        ((source, out, "--scheme", "int4", "--method", "awq"), "no method 'awq'"),
        ((source, out, "--scheme", "int8-weight", "--method", "hqq"), "int8-weight has no method hqq"),
        (
            (wide, out, "--scheme", "int4", "--method", "gptq", "--calibration", tmp_path / "wide.npz", "--memory", 1),
            "GPTQ needs 4 MiB for the 512 inputs of w, and 1 MiB are allowed. Allow more (--memory 4)",
        ),
    ):
        before = out.read_bytes()
        bad = run(*arguments)
        assert bad.returncode == 2 and len(bad.stderr.splitlines()) == 1 and says in bad.stderr, bad
        assert out.read_bytes() == before and not out.with_name("out.onnx.part").exists()


DEEP = 224


def deep() -> onnx.ModelProto:
    """Six products one after the other; two of them share their inputs."""
    nodes, name = [helper.make_node("MatMul", ["x", "w5"], ["aside"])], "x"
    for number in range(5):
        nodes.append(helper.make_node("MatMul", [name, f"w{number}"], [f"p{number}"]))
        name = f"h{number}"
        nodes.append(helper.make_node("Tanh", [f"p{number}"], [name]))
    nodes.append(helper.make_node("Add", [name, "aside"], ["y"]))
    weights = [weight(f"w{number}", DEEP, DEEP, seed=number) for number in range(6)]
    return model(nodes, weights, [port("x", FLOAT, "rows", DEEP)])


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    np.savez(tmp_path / "wide.npz", x=correlated(1, size=DEEP))
    return tmp_path / "wide.npz"


MEASURED = """
import sys
from pathlib import Path
from jobs.quantization import Options, quantize

for method in ("hqq", "gptq"):
    given = {"calibration": Path(sys.argv[2]), "memory_mib": int(sys.argv[3]), "threads": 1}
    options = Options(measure=False, method=method, **given)
    report = quantize(Path(sys.argv[1]), Path(sys.argv[1]).with_name("out.onnx"), "int4", options)
    print(report.layers[0].method, report.peak_rss_mb)
"""


def test_gptq_stays_within_the_memory_that_it_is_allowed(tmp_path: Path):
    inputs = 2560
    made = model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [weight("w", inputs, 64)],
        [port("x", FLOAT, "rows", inputs)],
    )
    source = save(made, tmp_path / "in.onnx")
    np.savez(tmp_path / "samples.npz", x=correlated(1, rows=32, size=inputs))
    allowed = 13 * inputs**2 // 2**20 + 1
    command = [sys.executable, "-c", MEASURED, source, tmp_path / "samples.npz", str(allowed)]
    said = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=300).stdout.split()
    assert said[0::2] == ["hqq", "gptq"]
    before, peak = map(int, said[1::2])
    # All of it is used: H and its factor alone are 8 bytes for each pair of inputs.
    assert 8 * inputs**2 / 2**20 < peak - before < allowed + 16, (before, peak, allowed)


# Dies as by the kernel's out-of-memory killer, once so many tensors are finished.
DYING = """
import os, signal, sys
from pathlib import Path
from jobs.quantization import Options, quantize
from jobs.quantization.journal import Journal

noted = Journal.finished
def note(journal, offset, snr_db):
    noted(journal, offset, snr_db)
    if len(journal._done) == int(sys.argv[5]):
        os.kill(os.getpid(), signal.SIGKILL)
Journal.finished = note
options = Options(measure=False, block=32, method=sys.argv[3], calibration=Path(sys.argv[4]), memory_mib=1)
quantize(Path(sys.argv[1]), Path(sys.argv[2]), "int4", options)
"""


@pytest.mark.parametrize("method", ["hqq", "gptq"])
def test_a_killed_quantization_goes_on_by_the_same_method_to_the_same_bytes(tmp_path: Path, wide: Path, method: str):
    source, out = save(deep(), tmp_path / "in.onnx"), tmp_path / "out.onnx"
    # In 1 MiB there is room for the second moments of two tensors at a time.
    options = Options(measure=False, block=32, method=method, calibration=wide, memory_mib=1)
    lines: list[str] = []
    whole = quantize(source, out, "int4", options, lambda share, line: lines.append(line))
    assert [line for line in lines if "pass 3 of 3" in line] or method == "hqq"
    wanted = out.read_bytes()
    # Within the first pass, and within the second.
    for finished in (1, 4):
        out.unlink()
        command = [sys.executable, "-c", DYING, source, out, method, wide, str(finished)]
        assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
        assert not out.exists()
        resumed = quantize(source, out, "int4", options)
        assert out.read_bytes() == wanted
        assert resumed.bytes_resumed == finished * DEEP * DEEP * 4 and resumed.layers == whole.layers


def test_a_budgets_trials_take_what_gptq_made_and_do_not_make_it_again(
    tmp_path: Path, wide: Path, monkeypatch: pytest.MonkeyPatch
):
    made = deep()
    ruined = numpy_helper.to_array(made.graph.initializer[2]).copy()
    ruined[::32] *= 40
    made.graph.initializer[2].CopyFrom(numpy_helper.from_array(ruined, "w2"))
    source = save(made, tmp_path / "in.onnx")
    options = {"block": 32, "method": "gptq", "calibration": wide}
    plain = quantize(source, tmp_path / "plain.onnx", "int4", Options(**options))
    assert plain.agreement.agreement is not None
    asked = round((1 - plain.agreement.agreement) * 0.7, 4)
    begun = []
    summed = Moments._sum
    monkeypatch.setattr(Moments, "_sum", lambda self, number: (begun.append(number), summed(self, number))[1])
    report = quantize(source, tmp_path / "out.onnx", "int4", Options(**options, budget=asked))
    assert begun == [0]
    assert report.budget is not None and report.budget.held and report.budget.kept
    assert report.budget.lost <= asked < report.budget.lost_by_scheme
    low = {layer.name for layer in report.layers if layer.bits == 4}
    assert low and {layer.method for layer in report.layers if layer.bits == 4} == {"gptq"}
    stored = [
        {tensor.name: tensor.raw_data for tensor in onnx.load(tmp_path / name).graph.initializer}
        for name in ("plain.onnx", "out.onnx")
    ]
    for name in low:
        for part in ("quantized", "scale"):
            assert stored[0][f"{name}_{part}"] == stored[1][f"{name}_{part}"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.onnx", "out.onnx", "plain.onnx", "wide.npz"]
