"""Quantize an ONNX model on the console itself; what it costs in accuracy is measured, not assumed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from jobs.failures import JobFailed, PlanRefused
from jobs.kind import DepotView, Kind, Target
from jobs.kinds.quantize.report import REPORT, TEMPLATE, TITLE, not_held, shown
from jobs.models import Job
from jobs.plan import Lane, LocalCommand, Plan, Product, Stage, Step
from jobs.quantization.blocks import SIZES
from jobs.quantization.errors import BudgetNotHeld

# Endings of a calibration set. An archive may hold pictures, arrays and texts.
ARRAYS, PICTURES = (".npz",), (".png", ".zip")
PREPROCESSING = {
    "unit": [],
    "imagenet": ["--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"],
    "bytes": ["--scale", "1"],
}
BUDGET_NOT_HELD = BudgetNotHeld.exit_status


class Params(serializers.Serializer[Any]):
    model = serializers.IntegerField(min_value=1, label=_("ONNX model"))
    scheme = serializers.ChoiceField(
        [
            ("int8-weight", _("8-bit weights")),
            ("int8-dynamic", _("8-bit weights and activations")),
            ("int8-static", _("8-bit weights and calibrated activations")),
            ("int4", _("4-bit weights in blocks, for ONNX Runtime")),
        ],
        default="int8-weight",
        label=_("Scheme"),
    )
    block = serializers.ChoiceField(
        [(str(size), str(size)) for size in SIZES],
        default="128",
        label=_("Values to a scale (4-bit)"),
        help_text=_("Fewer keep more of the accuracy and take more room."),
    )
    method = serializers.ChoiceField(
        [
            ("rtn", _("to the nearest step")),
            ("hqq", _("on steps fitted to the weights (HQQ)")),
            ("gptq", _("corrected on the calibration set (GPTQ)")),
        ],
        default="rtn",
        label=_("Rounding (4-bit)"),
        help_text=_(
            "HQQ loses less than the nearest step and needs no data. GPTQ loses least: it needs a calibration set, and "
            "time and memory for what the layers see of it."
        ),
    )
    budget = serializers.FloatField(
        min_value=0,
        max_value=0.5,
        required=False,
        label=_("Share of the accuracy that may be lost"),
        help_text=_(
            "0.02 is two answers in a hundred. The most sensitive weights stay at higher precision until it holds; "
            "if it can't be held, nothing is written. Empty: whatever the scheme loses."
        ),
    )
    calibration = serializers.IntegerField(
        min_value=1,
        required=False,
        label=_("Calibration set"),
        help_text=_(
            "Texts (.jsonl), inputs (.npz), or a zip archive of pictures (.png) on which the result is held against "
            "the original; without one, generated inputs are used. Calibrated activations need one."
        ),
    )
    calibrate = serializers.ChoiceField(
        [
            ("minmax", _("All values that were seen")),
            ("percentile", _("Without the outermost values, 1 in 10,000")),
            ("entropy", _("By entropy: nearest to the values' distribution")),
        ],
        default="minmax",
        label=_("Ranges of the activations (calibrated)"),
        help_text=_("One outlier makes the range of all values that were seen coarse; the others cut it off."),
    )
    pictures = serializers.ChoiceField(
        [
            ("unit", _("Pixels from 0 to 1")),
            ("imagenet", _("ImageNet's mean and deviation")),
            ("bytes", _("Pixels from 0 to 255")),
        ],
        default="unit",
        label=_("Pictures of a calibration set"),
        help_text=_("As in the model's training. They are resized to the model's input, red first."),
    )


class Quantize(Kind):
    slug = "quantize"
    title = _("Quantize a model")
    summary = _("Smaller weights, with the agreement with the original measured.")
    targets = "none"
    artifacts = {"model": "model", "calibration": "calibration"}
    report_title = TITLE
    report_template = TEMPLATE
    report_artifact = REPORT
    Params = Params

    def plan(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> Plan:
        model = depot.get(params["model"], "model")
        form = str(model.meta.get("format", "onnx"))
        if form != "onnx":
            raise PlanRefused(
                f"model-is-{form}", f"{model.name} is no ONNX: {form}.", "Quantize its ONNX model.", "model"
            )
        scheme = params["scheme"]
        name = f"{PurePath(model.name).stem}-{scheme}.onnx"
        arguments = ["python", "-m", "jobs.quantization", "model.onnx", name, "--scheme", scheme]
        if scheme == "int4":
            # Asymmetric blocks lose less, for half a byte each.
            arguments += ["--block", params["block"], "--zero-points"]
        if params["method"] != "rtn":
            arguments += ["--method", _fitting(params)]
        if params.get("budget") is not None:
            arguments += ["--budget", f"{params['budget']:g}"]
        inputs = {"model.onnx": model.sha256}
        if params.get("calibration"):
            samples = depot.get(params["calibration"], "calibration")
            ending = PurePath(samples.name).suffix.lower()
            # Whatever has another ending is text, line by line.
            file = f"calibration{ending if ending in ARRAYS or ending in PICTURES else '.jsonl'}"
            arguments += ["--calibration", file]
            inputs[file] = samples.sha256
            profile = depot.by_sha256(str(model.meta.get("profile", "")))
            if profile is not None:
                arguments += ["--profile", "profile.json"]
                inputs["profile.json"] = profile.sha256
            elif file.endswith(".jsonl"):
                raise PlanRefused(
                    "profile-missing",
                    f"The depot has no profile of {model.name}, so it can't make inputs of the calibration's texts.",
                    "Convert the checkpoint again, or leave the calibration out.",
                    "calibration",
                )
            if ending in PICTURES:
                arguments += PREPROCESSING[params["pictures"]]
        if scheme == "int8-static":
            if not params.get("calibration"):
                raise PlanRefused(
                    "calibration-needed",
                    "Calibrated activations need samples, and there is no calibration set.",
                    "Choose a calibration set, or another scheme.",
                    "calibration",
                )
            arguments += ["--calibrate", params["calibrate"]]
        kept = {key: value for key, value in model.meta.items() if key in ("profile", "max_length", "format")}
        product = Product(name, "model", name, meta={**kept, "scheme": scheme, "from": model.sha256})
        # The log's last line has the layers that matter most; this has all of them.
        told = f"{PurePath(name).stem}-report.json"
        report = Product("report.json", REPORT, told, meta={"from": model.sha256}, links={"of": name})
        command = LocalCommand([*arguments, "--report", report.file, "--json"], inputs, [product, report])
        step = Step("quantize", f"Quantize {model.name} to {scheme}", command)
        return Plan([Stage("Quantize", [Lane(None, [step])])])

    def judge(self, step: Step, exit_status: int, log: str) -> dict[str, Any]:
        if exit_status == BUDGET_NOT_HELD:
            last = next((line.strip() for line in reversed(log.splitlines()) if line.strip()), "no output")
            raise JobFailed(
                "budget-not-held",
                last[:500],
                "Allow more to be lost, or take smaller blocks or a scheme of more bits; then run the job again.",
            )
        return super().judge(step, exit_status, log)

    def has_report(self, job: Job) -> bool:
        return super().has_report(job) or not_held(job) is not None

    def report_page(self, job: Job, report: dict[str, Any], *, whole: bool) -> dict[str, Any]:
        return shown(job, report, whole=whole)


def _fitting(params: dict[str, Any]) -> str:
    """The method, when it suits the rest. Raises PlanRefused."""
    method: str = params["method"]
    if params["scheme"] != "int4":
        raise PlanRefused(
            "method-unfit",
            f"{method.upper()} is a method of 4-bit weights, and {params['scheme']} has 8 bits.",
            "Take 4-bit weights, or round to the nearest step.",
            "method",
        )
    if method == "gptq" and not params.get("calibration"):
        raise PlanRefused(
            "calibration-needed",
            "GPTQ corrects rounding by what the layers see of real samples, and no calibration set is given.",
            "Give a calibration set, or take HQQ, which needs none.",
            "calibration",
        )
    return method
