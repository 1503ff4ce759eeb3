"""From a checkpoint to an image that can be served: ONNX, smaller weights, OM where a machine is named, the image.

The release that is made of the image is a decision of its own (its name, its smoke question), and so is its rollout:
both begin where this ends, with the image in the depot.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from jobs.kind import DepotView, Target
from jobs.pipelines.definition import Definition, Stage, made


class Params(serializers.Serializer[Any]):
    name = serializers.RegexField(r"^[a-z0-9][a-z0-9.-]{0,60}$", label=_("Name of the model"))
    checkpoint = serializers.IntegerField(min_value=1, label=_("Checkpoint"))
    head = serializers.IntegerField(min_value=1, label=_("Classifier head"))
    scheme = serializers.ChoiceField(
        [("int8-weight", _("8-bit weights")), ("int8-dynamic", _("8-bit weights and activations"))],
        default="int8-weight",
        label=_("Scheme"),
    )
    calibration = serializers.IntegerField(min_value=1, required=False, label=_("Calibration set"))
    base = serializers.IntegerField(min_value=1, label=_("Base image"))
    image = serializers.RegexField(
        r"^[a-z0-9]+([._/-][a-z0-9]+)*$", max_length=120, label=_("Image name"), help_text=_("Such as models/bert.")
    )
    tag = serializers.RegexField(r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$", label=_("Tag"))


class Model(Definition):
    slug = "model"
    title = _("Make a model ready to serve")
    summary = _("Convert, quantize and package; with a machine that has CANN, for its NPU.")
    targets = "optional"
    artifacts = {"checkpoint": "checkpoint", "head": "head", "calibration": "calibration", "base": "base-image"}
    words = {
        "convert": _("Convert to ONNX"),
        "quantize": _("Quantize"),
        "convert-om": _("Convert to OM"),
        "package": _("Package the image"),
    }
    Params = Params

    def stages(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> list[Stage]:
        name = params["name"]
        onnx = {"to": "onnx", "name": name, "checkpoint": params["checkpoint"], "head": params["head"]}
        smaller: dict[str, Any] = {"model": made("convert", "artifacts.model.id"), "scheme": params["scheme"]}
        if params.get("calibration"):
            smaller["calibration"] = params["calibration"]
        stages = [Stage("convert", "convert", onnx), Stage("quantize", "quantize", smaller)]
        last = "quantize"
        if targets:
            om = {"to": "om", "name": name, "model": made("quantize", "artifacts.model.id")}
            stages.append(Stage("convert-om", "convert", om, [targets[0].name]))
            last = "convert-om"
        image = {
            "model": made(last, "artifacts.model.id"),
            "base": params["base"],
            "name": params["image"],
            "tag": params["tag"],
        }
        return [*stages, Stage("package", "package-image", image)]
