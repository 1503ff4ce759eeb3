"""`atc`: checks what the real one checks, in its order and with its words, and wraps the ONNX as a simulated OM."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from hardware.simulator.cann import refusals
from hardware.simulator.cann.aipp import insert_aipp
from hardware.simulator.cann.om import write_om
from hardware.simulator.cann.operators import OPSETS, SOC_VERSIONS, SUPPORTED
from hardware.simulator.cann.refusals import RUN_FAILED, AtcRefused

# GE's FAILED is -1; the manual names no exit status, so nothing may rest on this one.
FAILED = 255
SECONDS = 0.5
_DYNAMIC = ("dynamic_batch_size", "dynamic_image_size", "dynamic_dims", "input_shape_range")
_FLAG_NAMES = """
mode framework model weight output soc_version input_format input_shape input_shape_range dynamic_batch_size
dynamic_image_size dynamic_dims singleop om json help check_report display_model_info save_original_model
out_nodes input_fp16_nodes insert_op_conf output_type is_input_adjust_hw_layout is_output_adjust_hw_layout
host_env_os host_env_cpu core_type aicore_num virtual_type buffer_optimize fusion_switch_file enable_small_channel
precision_mode precision_mode_v2 op_precision_mode op_select_implmode optypelist_for_implmode modify_mixlist
keep_dtype customize_dtypes auto_tune_mode enable_scope_fusion_passes disable_reuse_memory log debug_dir dump_mode
op_debug_level op_compiler_cache_mode op_compiler_cache_dir enable_compress_weight compress_weight_conf
compression_optimize_conf sparsity deterministic external_weight quant_dumpable jit_compile ac_parallel_enable
status_check tiling_schedule_optimize graph_parallel_option_path oo_level optimization_switch atomic_clean_policy
"""
_FLAGS = frozenset(_FLAG_NAMES.split())
_PRECISIONS = (
    "force_fp16", "force_fp32", "cube_fp16in_fp32out", "allow_fp32_to_fp16", "must_keep_origin_dtype",
    "allow_mix_precision", "allow_mix_precision_fp16", "allow_mix_precision_bf16",
)  # fmt: skip
_PRECISIONS_2 = (
    "fp16", "origin", "cube_fp16in_fp32out", "mixed_float16", "mixed_bfloat16", "cube_hif8", "mixed_hif8",
)  # fmt: skip
_ELEMENT_TYPES = {1: "FLOAT", 6: "INT32", 7: "INT64", 10: "FLOAT16"}


def main(arguments: list[str]) -> int:
    """Exit status: 0 with ATC's line of success, else another one with its code."""
    if _without_driver():
        return 127
    if any(word in ("--help", "-h", "--h") for word in arguments):
        print(
            "usage: atc <args>\nexample: atc --model=model.onnx --framework=5 --output=model --soc_version=Ascend910A"
        )
        return 0
    flags = _parse(arguments)
    if flags is None:
        return 1
    print("ATC start working now, please wait for a moment.", flush=True)
    try:
        _convert(flags, arguments)
    except AtcRefused as refused:
        print(f"{RUN_FAILED}\n{refused.text()}", flush=True)
        return FAILED
    print("ATC run success, welcome to the next use.", flush=True)
    return 0


def _without_driver() -> bool:
    """CANN's tools link the driver's library; a machine without a driver has only the stub of the toolkit."""
    if not Path("/etc/simulated-machine").exists() or "devlib" in os.environ.get("LD_LIBRARY_PATH", ""):
        return False
    if Path("/usr/local/Ascend/driver/version.info").exists():
        return False
    print(
        "/usr/local/Ascend/ascend-toolkit/latest/bin/atc.bin: error while loading shared libraries: "
        "libascend_hal.so: cannot open shared object file: No such file or directory",
        file=sys.stderr,
    )
    return True


def _parse(arguments: list[str]) -> dict[str, str] | None:
    """gflags' way: `--name=value`, `--name value`, one dash or two. None when a flag is unknown, said on stderr."""
    flags: dict[str, str] = {}
    left = list(arguments)
    while left:
        word = left.pop(0)
        name, equals, value = word.lstrip("-").partition("=")
        name = name.replace("-", "_")
        if not word.startswith("-"):
            continue
        if name not in _FLAGS:
            print(f"ERROR: unknown command line flag '{name}'", file=sys.stderr)
            return None
        if not equals:
            value = left.pop(0) if left and not left[0].startswith("--") else ""
        flags[name] = value.strip().strip('"')
    return flags


def _convert(flags: dict[str, str], arguments: list[str]) -> None:
    if not flags.get("model"):
        raise refusals.empty("model")
    if flags.get("mode", "0") != "0":
        raise refusals.no_such_value("mode", flags["mode"])
    kind = flags.get("framework", "")
    if kind not in ("0", "1", "3", "5"):
        raise refusals.framework()
    for required in ("output", "soc_version"):
        if not flags.get(required):
            raise refusals.empty(required)
    _check_values(flags, kind)
    model = Path(flags["model"])
    if not model.is_file():
        raise AtcRefused("E19000", f"Path[{model}] is empty. Reason: No such file or directory.")
    output = Path(flags["output"] + ".om")
    if not output.parent.is_dir():
        raise refusals.invalid("--output", flags["output"], f"Path[{output.parent}] does not exist.")
    print("...", flush=True)
    time.sleep(SECONDS)
    if kind == "1" and model.suffix == ".air":
        _convert_air(flags, model, output, arguments)
        return
    if kind != "5":
        raise refusals.inner(
            f"Parse model file:{model} failed: it is no model of framework {kind}.",
            "[Parse][Model] failed.[FUNC:ParseGraph][FILE:omg.cc]",
        )
    body = model.read_bytes()
    inputs = _check_model(flags, model, body)
    if flags.get("insert_op_conf"):
        insert_aipp(Path(flags["insert_op_conf"]), inputs)
    write_om(output, body, flags["soc_version"], inputs, arguments)


def _convert_air(flags: dict[str, str], model: Path, output: Path, arguments: list[str]) -> None:
    """An AIR has its shapes in it: --input_shape is ignored. What it holds is not looked into, but that it is one."""
    body = model.read_bytes()
    # GE's own message of a model begins with its name, the first field.
    if body[:1] != b"\x0a":
        raise refusals.inner(
            f"Load model from file[{model}] failed, not valid.[FUNC:LoadFromFile][FILE:model.cc]",
            "[Parse][Model] failed.[FUNC:ParseGraph][FILE:omg.cc]",
        )
    write_om(output, body, flags["soc_version"], [], arguments)


def _check_values(flags: dict[str, str], kind: str) -> None:
    if flags["soc_version"] not in SOC_VERSIONS:
        raise refusals.invalid(
            "--soc_version", flags["soc_version"], "The current soc_version is not within the supported range."
        )
    formats = {"5": ("NCHW", "ND", "NCDHW"), "1": ("NCHW",)}.get(kind, ("NCHW", "NHWC", "ND"))
    if flags.get("input_format", formats[0]) not in formats:
        raise refusals.invalid(
            "--input_format", flags["input_format"], f"Only {', '.join(formats)} are supported for this framework."
        )
    if flags.get("log", "null") not in ("debug", "info", "warning", "error", "null"):
        raise AtcRefused(
            "E10010",
            f"Value [{flags['log']}] for parameter [--log] is invalid.",
            "Select the value from debug, info, warning, error, and null.",
        )
    if "precision_mode" in flags and "precision_mode_v2" in flags:
        raise refusals.both("precision_mode", "precision_mode_v2")
    for name, known in (("precision_mode", _PRECISIONS), ("precision_mode_v2", _PRECISIONS_2)):
        if flags.get(name, known[0]) not in known:
            raise refusals.invalid(f"--{name}", flags[name], f"The value must be one of {', '.join(known)}.")
    if sum(1 for name in _DYNAMIC if flags.get(name)) > 1:
        raise refusals.exclusive()
    if flags.get("insert_op_conf") and flags.get("dynamic_dims"):
        raise refusals.both("insert_op_conf", "dynamic_dims")
    if flags.get("output_type", "FP32").split(":")[-1] not in ("FP32", "FP16", "UINT8", "INT8"):
        raise refusals.no_such_value("output_type", flags["output_type"])
    if flags.get("dynamic_batch_size"):
        sizes = flags["dynamic_batch_size"].split(",")
        if not all(size.isdigit() and 1 <= int(size) <= 2048 for size in sizes) or not 2 <= len(sizes) <= 100:
            raise refusals.no_such_value("dynamic_batch_size", flags["dynamic_batch_size"])
    for name, width in (("dynamic_image_size", 2), ("dynamic_dims", flags.get("input_shape", "").count("-1"))):
        profiles = [profile.split(",") for profile in flags.get(name, "").split(";") if profile]
        good = 2 <= len(profiles) <= 100 and all(len(one) == width and "".join(one).isdigit() for one in profiles)
        if flags.get(name) and not good:
            raise refusals.no_such_value(name, flags[name])


def _check_model(flags: dict[str, str], path: Path, body: bytes) -> list[dict[str, Any]]:
    """The inputs with the shapes they will have."""
    # Half a second that a refused flag need not wait for.
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.ModelProto.FromString(body)
    except DecodeError:
        model = onnx.ModelProto()
    if not model.graph.node or not model.opset_import:
        raise refusals.inner(
            f"Read onnx model file:{path} failed.[FUNC:GetModelFromFile][FILE:onnx_parser.cc]",
            "[Parse][ModelFile] failed.[FUNC:Parse][FILE:onnx_parser.cc]",
        )
    if len(model.opset_import) > 1:
        raise AtcRefused(
            "E16005", f"The model has [{len(model.opset_import)}] [--domain_version] fields, but only one is allowed."
        )
    opset = model.opset_import[0].version
    unknown = [
        (node.name or node.output[0], f"{node.domain or 'ai.onnx'}::{opset}::{node.op_type}")
        for node in model.graph.node
        if opset not in OPSETS or node.domain not in ("", "ai.onnx") or node.op_type not in SUPPORTED
    ]
    if unknown:
        raise refusals.no_parser(unknown)
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = {value.name: value.type.tensor_type for value in model.graph.input if value.name not in stored}
    shapes = _shapes(flags)
    for name in shapes:
        if name not in inputs:
            raise refusals.unknown_input(name)
    return [
        {
            "name": name,
            "type": _ELEMENT_TYPES.get(tensor.elem_type, str(tensor.elem_type)),
            "shape": _shape(name, [size.dim_value or -1 for size in tensor.shape.dim], shapes.get(name), flags),
        }
        for name, tensor in inputs.items()
    ]


def _shapes(flags: dict[str, str]) -> dict[str, list[int]]:
    given = flags.get("input_shape", "")
    shapes: dict[str, list[int]] = {}
    for part in filter(None, given.split(";")):
        name, colon, sizes = part.rpartition(":")
        if not colon or not name.strip():
            raise refusals.shape_format(part, "the input has no name")
        try:
            shape = [int(size) for size in sizes.split(",")]
        except ValueError:
            raise refusals.shape_format(part, f"{sizes} has what is no integer") from None
        for size in shape:
            if size < -1 or size == 0 or (size == -1 and not any(flags.get(flag) for flag in _DYNAMIC)):
                raise refusals.shape_value(sizes, size)
        shapes[name.strip()] = shape
    return shapes


def _shape(name: str, own: list[int], given: list[int] | None, flags: dict[str, str]) -> list[int]:
    if given is None:
        if -1 in own:
            raise refusals.invalid(name, "-1", "maybe you should set input_shape to specify its shape")
        return own
    if len(given) != len(own):
        raise refusals.inner(
            f"Input [{name}] has {len(own)} dims in the model, --input_shape gives it {len(given)}."
            "[FUNC:InferShapeAndType][FILE:infershape_pass.cc]",
            f"Call InferShapeAndType for node:{name}(Data) failed[FUNC:Infer][FILE:infershape_pass.cc]",
        )
    wrong = [size for size, fixed in zip(given, own, strict=True) if fixed != -1 and size not in (fixed, -1)]
    if wrong:
        raise refusals.inner(
            f"Input [{name}] is {own} in the model, --input_shape gives it {given}."
            "[FUNC:InferShapeAndType][FILE:infershape_pass.cc]",
            f"Call InferShapeAndType for node:{name}(Data) failed[FUNC:Infer][FILE:infershape_pass.cc]",
        )
    return given
