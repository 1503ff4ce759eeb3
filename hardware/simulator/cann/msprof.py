"""`msprof` of a simulated machine: options, closing lines and result files of the real one.

Names and columns of the files are those that CANN's documentation and msprof's own system tests name. What stands in
them is simulated: the load that the stand-in `npu-smi` shows, and for a command that names a simulated OM or an ONNX
the operators of that model. None of it is a figure of an NPU.
"""

from __future__ import annotations

import os
import random
import shlex
import subprocess
import sys
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

from hardware.simulator.cann.om import MARK
from hardware.simulator.chips import Chips

_FLAGS = {
    "output", "application", "sys-period", "sys-devices", "ai-core", "aic-mode", "aic-freq", "aic-metrics", "task-time",
    "ascendcl", "runtime-api", "model-execution", "sys-hardware-mem", "sys-cpu-profiling", "sys-profiling",
    "sys-pid-profiling", "dvpp-profiling", "l2", "hccl", "aicpu", "type", "storage-limit", "environment",
}  # fmt: skip
_RATIOS = {
    "PipeUtilization": ("vec_ratio", "mac_ratio", "scalar_ratio", "mte1_ratio", "mte2_ratio", "mte3_ratio",
                        "icache_miss_rate", "memory_bound"),
    "ArithmeticUtilization": ("mac_fp16_ratio", "mac_int8_ratio", "vec_fp32_ratio", "vec_fp16_ratio",
                              "vec_int32_ratio", "vec_misc_ratio"),
}  # fmt: skip
CORES = 32


def main(arguments: list[str]) -> int:
    flags: dict[str, str] = {}
    rest = list(arguments)
    while rest and rest[0].startswith("--"):
        name, _, value = rest.pop(0).removeprefix("--").partition("=")
        if name not in _FLAGS:
            return _wrong(f"msprof: unrecognized option '--{name}'")
        flags[name] = value
    command = rest or shlex.split(flags.get("application", ""))
    output = Path(flags.get("output") or ".")
    if not command and not (flags.get("sys-period", "").isdigit() and flags.get("sys-devices")):
        return _wrong("Argument --sys-period and --sys-devices are required without an application.")
    if not output.is_dir():
        return _wrong(f"Argument --output is invalid: {output} is not a directory.")
    print("[INFO] Start profiling....", flush=True)
    chips = Chips()
    wanted = _devices(flags.get("sys-devices", "all") if not command else "all", chips)
    if wanted is None:
        return _wrong(f"Argument --sys-devices={flags['sys-devices']} is invalid: no such device.")
    chips.read()
    began = time.monotonic()
    if command:
        try:
            status = subprocess.run(command, check=False).returncode
        except OSError as wrong:
            return _wrong(f"Failed to run {command[0]}: {wrong.strerror}.")
        if status:
            return _wrong(f"The application ended with exit code {status}.")
    else:
        time.sleep(int(flags["sys-period"]))
    seconds = time.monotonic() - began
    loads = {chip.npu: chip.aicore for chip in chips.read() if chip.npu in wanted}
    folder = _store(output, flags, command, loads, seconds)
    print(f"[INFO] Start export data in {folder.name}.")
    print(f"[INFO] Query all data in {folder.name} done.")
    print("[INFO] Profiling finished.")
    print(f"[INFO] Process profiling data complete. Data is saved in {folder.resolve()}")
    return 0


def _wrong(said: str) -> int:
    print(f"[ERROR] {said}", flush=True)
    return 1


def _devices(text: str, chips: Chips) -> list[int] | None:
    there = chips.present()
    asked = there if text == "all" else [int(word) for word in text.split(",") if word.isdigit()]
    return asked if set(asked) <= set(there) else None


def _store(output: Path, flags: dict[str, str], command: list[str], loads: dict[int, int], seconds: float) -> Path:
    stamp = f"{datetime.now():%Y%m%d%H%M%S%f}"
    letters = "".join(random.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=8))
    folder = output / f"PROF_000001_{stamp[:17]}_{os.getpid():08d}{letters}"
    tables = folder / "mindstudio_profiler_output"
    tables.mkdir(parents=True)
    for device in loads:
        (folder / f"device_{device}" / "data").mkdir(parents=True)
    (folder / "host" / "data").mkdir(parents=True)
    (tables / "README.txt").write_text("Made by a simulated msprof: nothing here was measured on an NPU.\n")
    if flags.get("aic-mode", "task-based" if command else "sample-based") == "sample-based":
        metrics = _RATIOS.get(flags.get("aic-metrics", "PipeUtilization"), _RATIOS["PipeUtilization"])
        lines = [",".join(("Device_id", "Core ID", *metrics))]
        for device, load in loads.items():
            ratio = load / 100
            lines += [",".join((str(device), str(core), *_row(metrics, ratio))) for core in range(CORES)]
        (tables / f"ai_core_utilization_{stamp[:14]}.csv").write_text("\n".join(lines) + "\n")
    if command:
        _operators(tables, stamp[:14], command, min(loads, default=0), seconds)
    return folder


def _row(metrics: tuple[str, ...], ratio: float) -> list[str]:
    # Half of the load computes, a quarter brings data.
    parts = {"mac_ratio": ratio / 2, "mte2_ratio": ratio / 4, "mac_fp16_ratio": ratio / 2, "vec_ratio": ratio / 8}
    values = {**parts, "memory_bound": 0.5 if ratio else 0.0}
    return [f"{values.get(name, 0.0):.4f}" for name in metrics]


def _operators(tables: Path, stamp: str, command: list[str], device: int, seconds: float) -> None:
    counts = _types(command)
    whole = sum(counts.values()) or 1
    lines = ["Device_id,OP Type,Core Type,Count,Total Time(us),Min Time(us),Avg Time(us),Max Time(us),Ratio(%)"]
    for kind, count in counts.most_common():
        total = seconds * 1e6 * count / whole
        core = "AI_CORE" if kind in ("MatMul", "Gemm", "Conv") else "AI_VECTOR_CORE"
        each = f"{total / count:.3f}"
        lines.append(f"{device},{kind},{core},{count},{total:.3f},{each},{each},{each},{100 * count / whole:.3f}")
    (tables / f"op_statistic_{stamp}.csv").write_text("\n".join(lines) + "\n")
    took = f"{seconds * 1e6:.3f}"
    call = f"{device},AscendCL,aclmdlExecute,{took},1,{took},{took},{took},0.0"
    rows = [call] if counts else []
    head = "Device_id,Level,API Name,Time(us),Count,Avg(us),Min(us),Max(us),Variance"
    (tables / f"api_statistic_{stamp}.csv").write_text("\n".join([head, *rows]) + "\n")


def _types(command: list[str]) -> Counter[str]:
    """Operators of the first model that the command names."""
    import onnx
    from google.protobuf.message import DecodeError

    for word in command:
        file = Path(word.rpartition("=")[2])
        if file.suffix not in (".om", ".onnx") or not file.is_file():
            continue
        body = file.read_bytes()
        if body.startswith(MARK):
            body = body[len(MARK) :].partition(b"\n")[2]
        try:
            return Counter(node.op_type for node in onnx.ModelProto.FromString(body).graph.node)
        except DecodeError:
            continue
    return Counter()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
