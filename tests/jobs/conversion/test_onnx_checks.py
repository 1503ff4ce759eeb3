from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from jobs.conversion.cann import check_soc, opset_range, soc_version_of
from jobs.conversion.checks import check_inputs, check_model, inspect, parse_input_shape, read_profiles
from jobs.conversion.errors import ConversionRefused
from jobs.conversion.skeleton import extent_of, read_skeleton

ROOT = Path(__file__).resolve().parents[3]


def small_model(opset: int = 13, *, packed: bool = False) -> onnx.ModelProto:
    values = np.arange(64 * 32, dtype=np.float32).reshape(64, 32)
    if packed:
        weight = helper.make_tensor("weight", TensorProto.FLOAT, values.shape, values.ravel())
    else:
        weight = numpy_helper.from_array(values, "weight")
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "weight"], ["product"]),
            helper.make_node("Mul", ["product", "scale"], ["y"]),
        ],
        "small",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 64]),
            helper.make_tensor_value_info("scale", TensorProto.FLOAT, [1]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 32])],
        [weight],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    onnx.save(small_model(), tmp_path / "small.onnx")
    return tmp_path / "small.onnx"


@pytest.mark.parametrize("packed", [False, True], ids=["raw data", "packed floats"])
def test_the_skeleton_says_where_the_weights_lie_and_nothing_else_changes(tmp_path: Path, packed):
    path = tmp_path / "small.onnx"
    onnx.save(small_model(packed=packed), path)
    skeleton = read_skeleton(path)
    extent = extent_of(skeleton.graph.initializer[0], path)
    assert extent is not None
    raw = path.read_bytes()[extent.offset : extent.offset + extent.length]
    np.testing.assert_array_equal(np.frombuffer(raw, np.float32), np.arange(64 * 32))
    del skeleton.graph.initializer[:]
    whole = onnx.load(path)
    del whole.graph.initializer[:]
    assert skeleton == whole


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (None, "file-missing", "no file"),
        (b"", "file-empty", "0 bytes"),
        (b"\x80\x02}q\x00.", "not-onnx", "pickle"),
        (b"PK\x03\x04....", "not-onnx", "zip archive"),
        (b"<!DOCTYPE html><html>", "not-onnx", "HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "lfs-pointer", "Git LFS"),
        (b"import torch\nmodel = torch.load('x')\n" * 40, "not-onnx", "no ONNX model"),
        ((50).to_bytes(8, "little") + b'{"weight":{"dtype":"F32"', "not-onnx", "safetensors"),
        (b"\x08\x08", "onnx-truncated", "without a single node"),
        (bytes(range(256)) * 8, "not-onnx", "no ONNX model"),
    ],
)
def test_what_is_no_onnx_is_refused_in_one_sentence_that_says_what_it_is(tmp_path: Path, content, code, says):
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConversionRefused) as refused:
        inspect(path)
    assert (refused.value.code, says in refused.value.message, "\n" in str(refused.value)) == (code, True, False)


def test_a_model_that_is_cut_off_anywhere_is_never_taken_for_a_whole_one(model: Path, tmp_path: Path):
    whole = model.read_bytes()
    cut = tmp_path / "cut.onnx"
    for size in range(1, len(whole), 97):
        cut.write_bytes(whole[:size])
        with pytest.raises(ConversionRefused) as refused:
            read_skeleton(cut)
        assert refused.value.code in ("onnx-truncated", "not-onnx")
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConversionRefused, match=rf"cut off: it has {len(whole) // 2} bytes"):
        read_skeleton(cut)


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"MatMul", b"MatM\xa4l"), (b"batch", b"b\xfftch"), (b"scale", b"sc\xa0le")],
    ids=["operator", "size", "input"],
)
def test_a_name_that_is_no_text_is_damage_and_not_a_name(tmp_path: Path, old, new):
    path = tmp_path / "garbled.onnx"
    path.write_bytes(small_model().SerializeToString().replace(old, new))
    with pytest.raises(ConversionRefused, match="a name in it is no text"):
        check_model(path, input_shape="x:1,64")


def test_a_type_that_onnx_does_not_have_and_data_that_contradicts_its_shape_are_told(tmp_path: Path):
    path = tmp_path / "odd.onnx"
    content = small_model()
    content.graph.input[0].type.tensor_type.elem_type = 50
    onnx.save(content, path)
    assert inspect(path).inputs[0].type == "type 50"
    content.graph.initializer.append(
        TensorProto(name="k", data_type=TensorProto.INT64, dims=[47], raw_data=b"12345678")
    )
    onnx.save(content, path)
    with pytest.raises(ConversionRefused, match="'k' contradicts its shape"):
        check_model(path)


def test_weights_beside_the_model_that_are_missing_cut_off_or_elsewhere_are_told_apart(tmp_path: Path):
    path = tmp_path / "m.onnx"
    onnx.save(small_model(), path, save_as_external_data=True, location="m.data", size_threshold=0)
    assert inspect(path).external_data == ["m.data"]
    data = tmp_path / "m.data"
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(ConversionRefused) as refused:
        inspect(path)
    assert refused.value.code == "external-truncated"
    data.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(ConversionRefused, match="is a Git LFS pointer") as refused:
        inspect(path)
    assert refused.value.code == "lfs-pointer"
    data.unlink()
    with pytest.raises(ConversionRefused) as refused:
        inspect(path)
    assert refused.value.code == "external-missing" and "m.data" in refused.value.mend
    loaded = onnx.load(path, load_external_data=False)
    loaded.graph.initializer[0].external_data[0].value = "../secret"
    path.write_bytes(loaded.SerializeToString())
    with pytest.raises(ConversionRefused) as refused:
        inspect(path)
    assert refused.value.code == "external-unsafe"


@pytest.mark.parametrize(
    ("cann", "lowest", "highest", "exact"),
    [("7.0.0", 9, 18, True), ("8.0.0", 11, 15, True), ("8.2.RC1", 11, 15, False), ("9.1.0", 11, 18, True)],
)
def test_the_opsets_that_a_cann_reads_are_those_of_its_guide(cann, lowest, highest, exact):
    known = opset_range(cann)
    assert (known.lowest, known.highest, known.exact) == (lowest, highest, exact)


def test_an_opset_outside_is_refused_where_the_guide_says_so_and_a_warning_where_no_guide_was_seen(tmp_path: Path):
    path = tmp_path / "new.onnx"
    onnx.save(small_model(opset=17), path)
    with pytest.raises(ConversionRefused) as refused:
        check_model(path, cann="8.0.0")
    assert refused.value.code == "opset-unsupported" and "opset 15" in refused.value.mend
    assert check_model(path, cann="8.2.RC1").warnings
    assert not check_model(path, cann="9.1.0").warnings
    with pytest.raises(ConversionRefused) as refused:
        check_model(path, cann="newest")
    assert refused.value.code == "cann-version"


def test_operators_that_atc_has_no_parser_for_are_refused_when_it_is_for_a_cann(tmp_path: Path):
    content = small_model()
    content.graph.node.append(helper.make_node("DynamicQuantizeLinear", ["y"], ["q", "s", "z"]))
    onnx.save(content, tmp_path / "dynamic.onnx")
    with pytest.raises(ConversionRefused) as refused:
        check_model(tmp_path / "dynamic.onnx", cann="8.0.0")
    assert refused.value.code == "operator-unsupported" and "DynamicQuantizeLinear" in refused.value.message
    check_model(tmp_path / "dynamic.onnx")


def test_an_operator_in_a_body_or_in_a_function_of_the_model_is_seen_as_well(tmp_path: Path):
    inner = [
        helper.make_node("DynamicQuantizeLinear", ["y"], ["q", "s", "z"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["deep"]),
    ]
    body = helper.make_graph(inner, "body", [], [helper.make_tensor_value_info("deep", TensorProto.FLOAT, None)])
    content = small_model()
    content.graph.node.append(helper.make_node("If", ["go"], ["chosen"], then_branch=body, else_branch=body))
    content.graph.input.append(helper.make_tensor_value_info("go", TensorProto.BOOL, []))
    onnx.save(content, tmp_path / "branch.onnx")
    assert inspect(tmp_path / "branch.onnx").operators["ai.onnx::DynamicQuantizeLinear"] == 2
    with pytest.raises(ConversionRefused) as refused:
        check_model(tmp_path / "branch.onnx", cann="8.0.0")
    assert refused.value.code == "operator-unsupported" and "DynamicQuantizeLinear" in refused.value.message
    content = small_model()
    content.functions.append(
        helper.make_function("own", "Quantize", ["y"], ["deep"], inner, [helper.make_opsetid("", 13)])
    )
    content.opset_import.append(helper.make_opsetid("own", 1))
    content.graph.node.append(helper.make_node("Quantize", ["y"], ["done"], domain="own"))
    onnx.save(content, tmp_path / "function.onnx")
    assert {"own::Quantize", "ai.onnx::DynamicQuantizeLinear"} <= set(inspect(tmp_path / "function.onnx").operators)


def test_opset_imports_that_nothing_uses_are_told_from_those_that_something_does(tmp_path: Path):
    content = small_model()
    content.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    onnx.save(content, tmp_path / "two.onnx")
    with pytest.raises(ConversionRefused) as refused:
        check_model(tmp_path / "two.onnx", cann="8.0.0")
    assert "ONNX's own alone" in refused.value.message and "Mend it" in refused.value.mend
    content.graph.node.append(helper.make_node("Scaler", ["y"], ["scaled"], domain="ai.onnx.ml"))
    onnx.save(content, tmp_path / "two.onnx")
    with pytest.raises(ConversionRefused) as refused:
        check_model(tmp_path / "two.onnx", cann="8.0.0")
    assert "operators of ai.onnx.ml" in refused.value.message and "Mend" not in refused.value.mend


def test_opsets_of_several_domains_are_refused_for_a_cann_and_counted_otherwise(tmp_path: Path):
    content = small_model()
    content.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.save(content, tmp_path / "two.onnx")
    with pytest.raises(ConversionRefused) as refused:
        check_model(tmp_path / "two.onnx", cann="8.0.0")
    assert refused.value.code == "domains-unsupported" and "com.microsoft" in refused.value.message
    assert check_model(tmp_path / "two.onnx").model.domains == ["ai.onnx", "com.microsoft"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("x:1,64;y:1", "input-unknown"),
        ("scale:1", "input-missing"),
        ("x:1,64,1", "input-rank"),
        ("x:1,128", "input-size"),
        ("x:-1,64", "input-dynamic"),
        ("", "input-shape"),
        ("x", "input-shape"),
        ("x:1,", "input-shape"),
        ("x:0,64", "input-shape"),
        ("x:1,64;x:2,64", "input-shape"),
        ("x:one,64", "input-shape"),
    ],
)
def test_a_wrong_input_shape_is_refused_by_what_is_wrong_with_it(model: Path, text, code):
    with pytest.raises(ConversionRefused) as refused:
        check_model(model, input_shape=text)
    assert refused.value.code == code and refused.value.mend


def test_a_right_input_shape_passes_and_a_fixed_input_may_be_left_out(model: Path):
    check_model(model, input_shape="x:8,64;scale:1")
    check_model(model, input_shape='"x:8,64"')
    check_inputs(inspect(model), parse_input_shape("x:-1,64"), dynamic=True)
    assert parse_input_shape("input:0:1,3,224,224") == {"input:0": (1, 3, 224, 224)}


def images(tmp_path: Path) -> Path:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["image"], ["y"]), helper.make_node("Identity", ["ids"], ["z"])],
        "images",
        [
            helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, "height", "width"]),
            helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", 8]),
        ],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, None),
            helper.make_tensor_value_info("z", TensorProto.INT64, None),
        ],
        [numpy_helper.from_array(np.array([1, 2**40]), "far"), numpy_helper.from_array(np.array([2**63 - 1]), "end")],
    )
    path = tmp_path / "images.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


@pytest.mark.parametrize(
    ("shape", "option", "profiles"),
    [
        ("image:-1,3,8,8;ids:-1,8", "batch", "1,2,4"),
        ("image:1,3,-1,-1;ids:1,8", "image", "8,8;16,16;"),
        ("image:-1,3,-1,-1;ids:-1,8", "dims", "1,8,8,1;2,16,8,2"),
    ],
)
def test_profiles_that_fit_the_open_sizes_pass(tmp_path: Path, shape, option, profiles):
    report = check_model(images(tmp_path), input_shape=shape, profiles=read_profiles(**{option: profiles}))
    assert report.profiles is not None and len(report.profiles.rows) > 1


@pytest.mark.parametrize(
    ("shape", "given", "code", "says"),
    [
        ("image:-1,3,8,8;ids:-1,8", {"batch": "1,2", "dims": "1;2"}, "profiles-exclusive", "exclude each other"),
        ("image:-1,3,8,8;ids:-1,8", {"batch": "1,two"}, "profiles-form", "1,two"),
        ("image:-1,3,8,8;ids:-1,8", {"batch": "1,0"}, "profiles-form", "1,0"),
        ("image:-1,3,8,8;ids:-1,8", {"batch": "1,4096"}, "profiles-form", "2048"),
        ("image:-1,3,8,8;ids:-1,8", {"batch": "4"}, "profiles-count", "1 profiles"),
        ("image:-1,3,8,8;ids:-1,8", {"batch": "4,4"}, "profiles-count", "1 of them different"),
        ("image:-1,3,8,8;ids:-1,8", {"batch": ",".join(map(str, range(1, 102)))}, "profiles-count", "101 profiles"),
        ("image:-1,3,8,-1;ids:-1,8", {"batch": "1,2"}, "profiles-axes", "image[3]"),
        ("image:1,3,8,8;ids:1,8", {"batch": "1,2"}, "profiles-axes", "has no -1"),
        ("image:1,3,-1,-1;ids:1,8", {"image": "8,8;8"}, "profiles-form", "8,8;8"),
        ("image:-1,3,-1,-1;ids:1,8", {"image": "8,8;16,16"}, "profiles-axes", "height and width"),
        ("image:1,3,-1,-1;ids:1,-1", {"image": "8,8;16,16"}, "profiles-axes", "ids"),
        ("image:1,3,-1,-1;ids:1,8", {"dims": "8;16"}, "profiles-axes", "2 times -1"),
        ("image:1,3,8,8;ids:1,-1", {"dims": "8;16"}, "profiles-fixed", "fixes at 8"),
    ],
)
def test_profiles_that_do_not_fit_are_refused_by_what_is_wrong_with_them(tmp_path: Path, shape, given, code, says):
    with pytest.raises(ConversionRefused) as refused:
        check_model(images(tmp_path), input_shape=shape, profiles=read_profiles(**given))
    assert (refused.value.code, says in refused.value.message) == (code, True), refused.value.message


def test_sizes_of_one_name_that_are_asked_to_differ_and_constants_beyond_int32_are_warned_of(tmp_path: Path):
    report = check_model(images(tmp_path), input_shape="image:2,3,8,8;ids:1,8")
    assert report.int64 is not None and (report.int64.count, report.int64.outside) == (2, ["far"])
    assert any("'batch'" in line and "2 in image and 1 in ids" in line for line in report.warnings)
    assert any("int32" in line and "far" in line for line in report.warnings)


def test_an_operator_that_atc_reads_within_limits_is_warned_of_when_it_is_for_a_cann(tmp_path: Path):
    content = small_model()
    content.graph.node.append(helper.make_node("NonZero", ["y"], ["where"]))
    onnx.save(content, tmp_path / "open.onnx")
    assert any("NonZero" in line for line in check_model(tmp_path / "open.onnx", cann="8.0.0").warnings)


def test_a_softmax_over_several_axes_is_warned_of_before_opset_13_and_one_over_the_last_is_not(tmp_path: Path):
    content = small_model()
    # The last axis of two, by its place and from the end; the product's rank is not written anywhere.
    for name, axis in (("wide", 0), ("narrow", 1), ("end", -1)):
        content.graph.node.append(helper.make_node("Softmax", ["product"], [name], name=name, axis=axis))
    for opset, told in ((11, True), (13, False)):
        content.opset_import[0].version = opset
        onnx.save(content, tmp_path / "m.onnx")
        warned = [line for line in check_model(tmp_path / "m.onnx").warnings if "Softmax" in line]
        assert bool(warned) is told and all("1 Softmax" in line and "wide" in line for line in warned)


@pytest.mark.parametrize(
    ("name", "soc"),
    [
        ("910A", "Ascend910A"),
        ("910ProA", "Ascend910ProA"),
        ("910B", "Ascend910B"),
        ("910B2C", "Ascend910B2C"),
        ("910B4-1", "Ascend910B4_1"),
        ("310", "Ascend310"),
        ("310P3", "Ascend310P3"),
        ("310B4", "Ascend310B4"),
        ("Ascend910_9391", "Ascend910_9391"),
    ],
)
def test_a_chips_name_gives_its_soc_version(name, soc):
    assert soc_version_of(name) == soc


def test_a_family_is_too_coarse_a_stranger_unknown_and_another_chips_soc_version_a_mismatch():
    for name in ("Ascend910", "910", "950"):
        with pytest.raises(ConversionRefused) as refused:
            soc_version_of(name)
        assert refused.value.code == "soc-coarse" and "npu-smi info -t board" in refused.value.mend
    with pytest.raises(ConversionRefused) as refused:
        soc_version_of("A100")
    assert refused.value.code == "soc-unknown"
    with pytest.raises(ConversionRefused) as refused:
        check_soc("Ascend910", "910A")
    assert refused.value.code == "soc-mismatch" and refused.value.mend == "Use Ascend910A."


def test_the_command_prints_its_report_last_and_refuses_in_one_line(model: Path):
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "jobs.conversion.checks", str(model), *arguments, "--json"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)

    good = run("--input_shape", "x:1,64", "--cann", "8.0.0", "--npu-name", "910A")
    report = json.loads(good.stdout.splitlines()[-1])
    assert (report["soc_version"], report["model"]["opset"], report["warnings"]) == ("Ascend910A", 13, [])
    bad = run("--input_shape", "x:1,64", "--npu-name", "910A", "--soc_version", "Ascend910")
    assert bad.returncode == 2 and len(bad.stderr.splitlines()) == 1 and "Use Ascend910A" in bad.stderr
