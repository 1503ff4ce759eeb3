"""A checkpoint to ONNX on the console itself; a program of torch where the console has torch."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from jobs.conversion.graph import INLINE_LIMIT
from jobs.conversion.programs.ports import read_ports
from jobs.failures import PlanRefused
from jobs.kind import DepotView
from jobs.kinds.convert.machine import refused_at
from jobs.kinds.quantize.report import REPORT
from jobs.plan import Lane, LocalCommand, Plan, Product, Stage, Step

# A weight of two bytes becomes one at most, and the scales, norms and biases beside them are few.
QUANTIZED_LIMIT = INLINE_LIMIT * 9 // 5


def plan_onnx(params: dict[str, Any], depot: DepotView) -> Plan:
    checkpoint = depot.get(params["checkpoint"], "checkpoint")
    head = depot.get(params["head"], "head") if params.get("head") else None
    scheme = params.get("quantize", "")
    limit = QUANTIZED_LIMIT if scheme else INLINE_LIMIT
    if checkpoint.size > limit:
        raise PlanRefused(
            "model-too-large",
            f"{checkpoint.name}: {checkpoint.size:,} bytes; its ONNX would be two files, and the depot keeps one.",
            f"Convert it with python -m jobs.conversion; here, {limit:,} bytes are the most.",
            "checkpoint",
        )
    name, length = params["name"], params["max_length"]
    model, profile = f"{name}.onnx", f"{name}-profile.json"
    arguments = ["python", "-m", "jobs.conversion", "checkpoint.tar", model]
    quantized = {"scheme": scheme} if scheme else {}
    if scheme:
        arguments += ["--quantize", scheme]
    if scheme == "int4":
        # As the kind `quantize` does: asymmetric blocks lose less, for half a byte each.
        arguments += ["--block", params.get("block", "128"), "--zero-points"]
    # Whether it is a program, which alone has a use for these, shows when it is opened.
    shape, types = params.get("input_shape", ""), params.get("input_type", "")
    if types and not shape:
        raise PlanRefused("input-type", "Types are given and no shapes.", "Give the input shape as well.", "input_type")
    if shape:
        with refused_at("input_shape"):
            read_ports(shape)
        with refused_at("input_type"):
            read_ports(shape, types)
        arguments += ["--input-shape", shape, *(["--input-type", types] if types else [])]
    inputs = {"checkpoint.tar": checkpoint.sha256}
    if params.get("calibration"):
        samples = depot.get(params["calibration"], "calibration")
        file = f"calibration{'.npz' if PurePath(samples.name).suffix.lower() == '.npz' else '.jsonl'}"
        if file.endswith(".jsonl") and head is None:
            raise PlanRefused(
                "profile-missing",
                "Texts become inputs by the model's profile, and that is made with its head.",
                "Give the classifier head, or inputs (.npz) in place of the texts.",
                "calibration",
            )
        arguments += ["--calibration", file]
        inputs[file] = samples.sha256
    products = []
    meta = {"format": "onnx", "max_length": length, "from": checkpoint.sha256, **quantized}
    if head is not None:
        # What a model is asked, and how its answers are called, is known with its head only.
        arguments += ["--head", "head.npz", "--profile", profile, "--name", name, "--max-length", str(length)]
        inputs["head.npz"] = head.sha256
        products.append(Product(profile, "profile", profile))
    links = {"profile": profile} if head is not None else {}
    products.append(Product(model, "model", model, meta=meta, links=links))
    if scheme:
        # The log's last line has the layers that matter most; this has all of them.
        products.append(
            Product("report.json", REPORT, f"{name}-report.json", meta={"from": checkpoint.sha256}, links={"of": model})
        )
        arguments += ["--report", "report.json"]
    arguments.append("--json")
    step = Step("convert", f"Convert {checkpoint.name} to ONNX", LocalCommand(arguments, inputs, products))
    return Plan([Stage("Convert", [Lane(None, [step])])])
