"""Programs of torch where torch is not needed: how they are known, what is asked of them, what holds their process.

What torch makes of them is held against torch in `test_against_torch`.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from safetensors.numpy import save_file

from jobs.conversion import __main__ as command
from jobs.conversion.apart import process
from jobs.conversion.errors import ConversionRefused
from jobs.conversion.programs.agreement import hold
from jobs.conversion.programs.archive import find_program
from jobs.conversion.programs.ports import read_ports
from tests.jobs.conversion.decoders import tiny
from tests.jobs.conversion.pickled import made


def script(path: Path) -> Path:
    path.write_bytes(made.archive(b"", {}, **{"constants.pkl": b"x", "code/__torch__.py": b"x"}))
    return path


def export(path: Path) -> Path:
    path.write_bytes(made.archive(b"", {}, **{"archive_format": b"pt2", "models/model.json": b"{}"}))
    return path


def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: object) -> str:
    monkeypatch.setattr(sys, "argv", ["conversion", *map(str, arguments)])
    assert command.main() == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(("make", "missing"), [(script, "torch"), (export, "torch and onnxscript")])
def test_without_torch_a_program_is_refused_with_what_to_install_and_for_which_python(
    tmp_path: Path, monkeypatch, capsys, make, missing
):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    said = refused(capsys, monkeypatch, make(tmp_path / "net.pt"), tmp_path / "out.onnx")
    assert f"{missing} cannot be imported by {sys.executable}" in said
    assert f"{sys.executable} -m pip install {missing.replace(' and ', ' ')}" in said and "torch.onnx.export" in said
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt"]


def test_a_program_is_known_as_a_file_and_alone_in_a_folder_that_is_no_model_s(tmp_path: Path):
    path = export(tmp_path / "net.pt2")
    (tmp_path / "README.md").write_text("what it is")
    assert find_program(path) == find_program(tmp_path) == (path, "torch.export")
    made.save(tmp_path / "net.pt2", {"w": np.ones(3, np.float32)})
    assert find_program(path) is None
    script(path)
    (tmp_path / "config.json").write_text("{}")
    assert find_program(path) == (path, "TorchScript") and find_program(tmp_path) is None


def test_options_of_the_one_are_refused_for_the_other(tmp_path: Path, monkeypatch, capsys):
    net, out = script(tmp_path / "net.pt"), tmp_path / "out.onnx"
    assert "--precision is not for a program" in refused(capsys, monkeypatch, net, out, "--precision", "float16")
    model = tiny.save(tmp_path / "model", tiny.LLAMA, {})
    assert "--input-shape is not for a checkpoint" in refused(capsys, monkeypatch, model, out, "--input-shape", "x:1")


def test_inputs_are_read_with_their_types_and_an_open_size_is_another_in_each_run():
    image, ids = read_ports("x:1,3,-1,8;ids:-1,4", "ids:int64")
    assert image.example(0).shape == (1, 3, 32, 8) and image.example(1).shape == (1, 3, 64, 8)
    assert ids.example(0).dtype == np.int64 and set(np.unique(ids.example(0))) <= {0, 1}
    assert image.open == {2: "x_2"} and ids.open == {0: "ids_0"}
    for types in ("ids:long", "y:int64", "int64"):
        with pytest.raises(ConversionRefused, match="--input-type cannot be read"):
            read_ports("x:1,3;ids:1,4", types)


def test_an_onnx_that_answers_otherwise_than_torch_is_refused(tmp_path: Path):
    one, two = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("x", "y"))
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [one], [two])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), str(tmp_path / "m.onnx")
    )
    x = np.array([-1, 2], np.float32)
    save_file({"0/in/x": x, "0/out/0": np.maximum(x, 0)}, tmp_path / "right")
    assert hold(tmp_path / "m.onnx", tmp_path / "right", "net.pt") == (1, 0.0)
    for wrong in ({"0/out/0": x}, {"0/out/0": np.maximum(x, 0), "0/out/1": x}, {}):
        save_file({"0/in/x": x, **wrong}, tmp_path / "wrong")
        with pytest.raises(ConversionRefused, match="does not answer as torch does"):
            hold(tmp_path / "m.onnx", tmp_path / "wrong", "net.pt")


def test_what_a_process_says_that_nobody_asked_for_is_taken_for_nothing(tmp_path: Path):
    told: list[tuple[float, str]] = []
    babbling = "tests.jobs.conversion.programs.babbling"
    with open("/dev/null", "rb") as nothing:
        ended = process.run(babbling, ["end"], nothing, [], lambda *line: told.append(line))
        assert (ended.how, ended.sandbox, ended.done) == ("exit code 0", {}, None)
        assert told == [(1.0, "a [2Jb")]
        assert process.run(babbling, ["hang"], nothing, [], lambda *line: None, seconds=0.5).how == "signal 9"
