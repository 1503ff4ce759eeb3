"""`converter_lite` of MindSpore Lite: ONNX to MindIR, with its closing line and its way to fail."""

from __future__ import annotations

import os
import threading
from datetime import datetime
from pathlib import Path

# No real MindIR begins so.
MARK = b"SIMULATED MINDIR 1\n"
_FRAMEWORKS = ("MINDIR", "CAFFE", "TFLITE", "TF", "ONNX", "PYTORCH", "MSLITE")
_OPTIMIZE = ("none", "general", "gpu_oriented")
_FLAG_NAMES = """
fmk modelFile outputFile weightFile saveType optimize inputShape inputDataFormat outputDataFormat inputDataType
outputDataType configFile fp16 device encryptKey encryption infer decryptKey decryptMode inDataSource
trainModel optimizeTransformer
"""
_NAMES = frozenset(_FLAG_NAMES.split())


def main(arguments: list[str]) -> int:
    """Exit status: 0 with `CONVERT RESULT SUCCESS:0`, else another one with `CONVERT RESULT FAILED`."""
    if not arguments or "--help" in arguments:
        print("usage: converter_lite --fmk=ONNX --modelFile=FILE --outputFile=NAME [--saveType=MINDIR]")
        return 0 if arguments else 1
    flags: dict[str, str] = {}
    for word in arguments:
        name, _, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name not in _NAMES:
            return _failed(f"flag {word.partition('=')[0]} is not valid.", "flag_parser.cc:116] ParseFlags")
        flags[name] = value
    return _convert(flags)


def _convert(flags: dict[str, str]) -> int:
    for name in ("fmk", "modelFile", "outputFile"):
        if not flags.get(name):
            return _failed(f"INPUT MISSING: {name} is necessary", "converter_flags.cc:410] Init")
    if flags["fmk"] not in _FRAMEWORKS:
        return _failed(f"INPUT ILLEGAL: fmk must be {'|'.join(_FRAMEWORKS)}", "converter_flags.cc:217] InitFmk")
    optimize = flags.get("optimize", "general")
    if optimize not in _OPTIMIZE and optimize.partition(":")[0] != "ascend_oriented":
        return _failed(
            "INPUT ILLEGAL: optimize must be none|general|gpu_oriented|ascend_oriented",
            "converter_flags.cc:301] InitOptimize",
        )
    if flags.get("saveType", "MINDIR_LITE") not in ("MINDIR", "MINDIR_LITE"):
        return _failed("INPUT ILLEGAL: saveType must be MINDIR|MINDIR_LITE", "converter_flags.cc:331] InitSaveType")
    model = Path(flags["modelFile"])
    if not model.is_file():
        return _failed(f"modelFile {model} is not existed.", "converter_funcgraph.cc:125] Load3rdModelToFuncgraph")
    if flags["fmk"] != "ONNX":
        return _failed(
            f"Get funcGraph failed for fmk: {flags['fmk']}", "converter_funcgraph.cc:125] Load3rdModelToFuncgraph"
        )
    import onnx
    from google.protobuf.message import DecodeError

    body = model.read_bytes()
    try:
        nodes = len(onnx.ModelProto.FromString(body).graph.node)
    except DecodeError:
        nodes = 0
    if not nodes:
        _log(f"Read onnx model file failed, model path: {model}", "onnx_model_parser.cc:661] InitOriginModel")
        _log("Get funcGraph failed for fmk: 2", "converter_funcgraph.cc:125] Load3rdModelToFuncgraph")
        return _failed("Load model file failed", "converter_funcgraph.cc:199] Build")
    suffix = ".mindir" if flags.get("saveType") == "MINDIR" else ".ms"
    output = Path(flags["outputFile"].removesuffix(suffix) + suffix)
    if not output.parent.is_dir():
        return _failed(f"output file path {output.parent} is not valid", "converter_flags.cc:168] InitOutputFile")
    output.write_bytes(MARK + body)
    print("CONVERT RESULT SUCCESS:0", flush=True)
    return 0


def _log(message: str, place: str) -> None:
    now = datetime.now()
    stamp = f"{now:%Y-%m-%d-%H:%M:%S}.{now.microsecond // 1000:03d}.{now.microsecond % 1000:03d}"
    thread = f"{threading.get_ident() & 0xFFFFFFFFFFFF:x}"
    where = f"mindspore/lite/tools/converter/{place}"
    print(f"[ERROR] LITE({os.getpid()},{thread},converter_lite):{stamp} [{where}] {message}", flush=True)


def _failed(message: str, place: str) -> int:
    _log(message, place)
    print("CONVERT RESULT FAILED:-1", flush=True)
    return 1
