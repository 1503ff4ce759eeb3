"""Quantize an ONNX model on the console itself; what it costs in accuracy is measured, not assumed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from jobs.failures import PlanRefused
from jobs.kind import DepotView, Kind, Target
from jobs.plan import Lane, LocalCommand, Plan, Product, Stage, Step


class Params(serializers.Serializer[Any]):
    model = serializers.IntegerField(min_value=1, label=_("ONNX model"))
    scheme = serializers.ChoiceField(
        [("int8-weight", _("8-bit weights")), ("int8-dynamic", _("8-bit weights and activations"))],
        default="int8-weight",
        label=_("Scheme"),
    )
    calibration = serializers.IntegerField(
        min_value=1,
        required=False,
        label=_("Calibration set"),
        help_text=_("Texts on which the result is held against the original; without one, generated inputs are used."),
    )


class Quantize(Kind):
    slug = "quantize"
    title = _("Quantize a model")
    summary = _("Smaller weights, with the agreement with the original measured.")
    targets = "none"
    artifacts = {"model": "model", "calibration": "calibration"}
    Params = Params

    def plan(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> Plan:
        model = depot.get(params["model"], "model")
        if model.meta.get("format") == "om":
            raise PlanRefused("model-is-om", f"{model.name} is an OM.", "Quantize its ONNX model.", "model")
        scheme = params["scheme"]
        name = f"{PurePath(model.name).stem}-{scheme}.onnx"
        arguments = ["python", "-m", "jobs.quantization", "model.onnx", name, "--scheme", scheme]
        inputs = {"model.onnx": model.sha256}
        if params.get("calibration"):
            arguments += ["--calibration", "calibration.jsonl"]
            inputs["calibration.jsonl"] = depot.get(params["calibration"], "calibration").sha256
            profile = depot.by_sha256(str(model.meta.get("profile", "")))
            if profile is None:
                raise PlanRefused(
                    "profile-missing",
                    f"The depot has no profile of {model.name}, so it can't make inputs of the calibration's texts.",
                    "Convert the checkpoint again, or leave the calibration out.",
                    "calibration",
                )
            arguments += ["--profile", "profile.json"]
            inputs["profile.json"] = profile.sha256
        kept = {key: value for key, value in model.meta.items() if key in ("profile", "max_length", "format")}
        product = Product(name, "model", name, meta={**kept, "scheme": scheme, "from": model.sha256})
        command = LocalCommand([*arguments, "--json"], inputs, [product])
        step = Step("quantize", f"Quantize {model.name} to {scheme}", command)
        return Plan([Stage("Quantize", [Lane(None, [step])])])
