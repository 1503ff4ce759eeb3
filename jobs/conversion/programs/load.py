"""Starts the process that turns a program of torch to ONNX, and looks at what comes back: `to_onnx`."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jobs.conversion.apart.process import run
from jobs.conversion.checkpoint import HEADROOM
from jobs.conversion.checks.inspection import inspect
from jobs.conversion.errors import ConversionRefused
from jobs.conversion.files import read_start, sha256_of
from jobs.conversion.graph import INLINE_LIMIT
from jobs.conversion.programs.agreement import hold
from jobs.conversion.programs.archive import EXPORTED, SCRIPT
from jobs.conversion.programs.child import EXPORT, Asked
from jobs.conversion.programs.ports import Port
from jobs.conversion.writing import Progress, check_model, refuse_overwriting, workplace

CHILD = "jobs.conversion.programs.child"
GIB = 1024**3
# What each needs beside the standard packages, and the opsets that its exporter writes, the usual one first.
NEEDS = {SCRIPT: ("torch",), EXPORTED: ("torch", "onnxscript")}
OPSETS = {SCRIPT: (13, range(9, 21)), EXPORTED: (18, range(18, 24))}
# Weights are there as read, as tensors, as torch's ONNX and as its bytes, some of these twice.
MEMORY, TIMES = 4 * GIB, 6
# Of computing; a busy machine may take several times as long by the clock.
SECONDS, BYTES_A_SECOND, CLOCK = 900, 2_000_000, 4


@dataclass(frozen=True)
class Exported:
    """What was made. `difference` is the largest from torch's own answers, relative to an output's largest value.

    `sandbox` is what the process that ran the program could not do, as `sandbox.Sandbox`.
    """

    destination: str
    bytes: int
    sha256: str
    program: str
    opset: int
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    runs: int
    difference: float
    source_sha256: dict[str, str]
    seconds: float
    sandbox: dict[str, Any]
    versions: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return asdict(self)


def to_onnx(
    source: Path,
    kind: str,
    destination: Path,
    tell: Progress,
    ports: list[Port] | None = None,
    opset: int | None = None,
) -> Exported:
    """Turns the archive `source`, of `kind` `SCRIPT` or `EXPORTED`, to ONNX in one file.

    `ports` are a script's inputs; a program of torch.export has its own. The result stands only where ONNX Runtime's
    answers are torch's. Raises ConversionRefused: `torch-missing`, `program-too-large`, `program-inputs`,
    `program-opset`, `program-failed`, `program-limits`, `program-changed`, `sandbox-missing`, `option-unfit`,
    `output-is-input`, `not-writable`.
    """
    started = time.monotonic()
    read_start(source)
    refuse_overwriting([source], destination)
    _require(source, kind)
    usual, known = OPSETS[kind]
    if opset is not None and opset not in known:
        raise ConversionRefused(
            "program-opset",
            f"torch turns {kind} to opset {known[0]} to {known[-1]}, and {opset} is asked.",
            "Choose one of these and bring the result to another: python -m jobs.conversion.mend --opset N.",
        )
    if kind == EXPORTED and ports:
        raise ConversionRefused(
            "option-unfit",
            "--input-shape is not for a program of torch.export, which has its own inputs.",
            "Leave it out.",
        )
    size = source.stat().st_size
    if size > INLINE_LIMIT:
        raise ConversionRefused(
            "program-too-large",
            f"{source.name} has {size} bytes; {INLINE_LIMIT} are the most that become one ONNX file.",
            "Export it where it was made, with external data, or save its weights as safetensors.",
        )
    seconds = SECONDS + size // BYTES_A_SECOND
    with workplace(destination, 2 * size) as place:
        model, answers = place / destination.name, place / "answers"
        room = min(2 * INLINE_LIMIT, shutil.disk_usage(place).free - HEADROOM)
        with source.open("rb") as file, model.open("wb") as first, answers.open("wb") as second:
            asked = Asked(
                source.name, kind, opset or usual, [asdict(port) for port in ports or []], first.fileno(),
                second.fileno(), room, seconds, MEMORY + TIMES * size,
            )  # fmt: skip
            tell(0.0, f"{source.name} is {kind}: run by torch in a process apart")
            ended = run(CHILD, [asked.to_json()], file, [first.fileno(), second.fileno()], tell, CLOCK * seconds)
        if ended.done is None:
            raise ConversionRefused(
                "program-limits",
                f"The process that ran {source.name} was ended ({ended.how}): it took more memory or time than it has.",
                EXPORT,
            )
        tell(0.8, "checking")
        seen = inspect(model)
        if seen.external_data:
            raise ConversionRefused("program-failed", f"The ONNX of {source.name} has weights elsewhere.", EXPORT)
        check_model(model)
        runs, difference = hold(model, answers, source.name)
        tell(0.95, f"ONNX Runtime answers as torch does (largest difference {difference:.1e})")
        model.replace(destination)
    return Exported(
        str(destination), destination.stat().st_size, sha256_of(destination), kind, seen.opset,
        [asdict(port) for port in seen.inputs], [asdict(port) for port in seen.outputs], runs, difference,
        {source.name: sha256_of(source)}, round(time.monotonic() - started, 2), ended.sandbox,
        {name: importlib.metadata.version(name) for name in (*NEEDS[kind], "onnx", "onnxruntime")},
    )  # fmt: skip


def _require(source: Path, kind: str) -> None:
    missing = [name for name in NEEDS[kind] if importlib.util.find_spec(name) is None]
    if missing:
        command = f"{sys.executable} -m pip install {' '.join(missing)}"
        raise ConversionRefused(
            "torch-missing",
            f"{source.name} is {kind}, a program that torch turns to ONNX, and {' and '.join(missing)} "
            f"cannot be imported by {sys.executable} (Python {platform.python_version()}).",
            f"Install it there: {command} (torch for processors only is enough), or export it where torch is: "
            "torch.onnx.export(model, example, 'model.onnx', dynamo=False, opset_version=13).",
        )
