"""Make an ONNX model into one that atc and converter_lite take, on the console itself (``jobs.conversion.mend``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from jobs.conversion.checks import parse_input_shape
from jobs.conversion.errors import ConversionRefused
from jobs.failures import PlanRefused
from jobs.kind import DepotView, Kind, Target
from jobs.plan import Lane, LocalCommand, Plan, Product, Stage, Step

# The oldest that the console reads and the newest that any tool of an NPU may.
OPSETS = (7, 23)
SECONDS = 3600
REPORT = "mend-report"
# What of the original's description is true of the result as well.
CARRIED = ("profile", "max_length", "format", "scheme")


class Params(serializers.Serializer[Any]):
    model = serializers.IntegerField(min_value=1, label=_("ONNX model"))
    opset = serializers.IntegerField(
        min_value=OPSETS[0],
        max_value=OPSETS[1],
        required=False,
        label=_("Opset of the result"),
        help_text=_("CANN 8.0 reads 11 to 15, CANN 9.1 11 to 18. Empty: as it is."),
    )
    fix_shape = serializers.CharField(
        required=False,
        allow_blank=True,
        default="",
        max_length=2000,
        label=_("Fixed sizes of inputs"),
        help_text=_("Such as x:1,3,224,224. Every size of the same name is fixed with them."),
    )
    fold = serializers.BooleanField(default=True, label=_("Compute now what is the same for every input"))
    int32 = serializers.BooleanField(
        default=False,
        label=_("int64 constants as int32"),
        help_text=_("Where the operator takes either."),
    )

    def validate_fix_shape(self, text: str) -> str:
        if not text.strip():
            return ""
        try:
            shapes = parse_input_shape(text)
        except ConversionRefused as wrong:
            raise serializers.ValidationError(f"{wrong.message} {wrong.mend}") from wrong
        if any(size < 1 for sizes in shapes.values() for size in sizes):
            raise serializers.ValidationError(_("Every size is to be a number from 1 up."))
        return text.strip()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not any(attrs.get(name) for name in ("opset", "fix_shape", "fold", "int32")):
            raise serializers.ValidationError({"fold": _("Choose what is to be mended.")})
        return attrs


class MendModel(Kind):
    slug = "mend-model"
    title = _("Mend an ONNX model")
    summary = _(
        "Another opset, fixed sizes, constants folded; the result computes what the original does, or is not kept."
    )
    targets = "none"
    artifacts = {"model": "model"}
    Params = Params

    def plan(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> Plan:
        model = depot.get(params["model"], "model")
        form = str(model.meta.get("format", "onnx"))
        if form != "onnx":
            raise PlanRefused(f"model-is-{form}", f"{model.name} is no ONNX: {form}.", "Mend its ONNX model.", "model")
        name = f"{PurePath(model.name).stem}-mended.onnx"
        arguments = ["python", "-m", "jobs.conversion.mend", "model.onnx", name]
        if params.get("opset"):
            arguments += ["--opset", str(params["opset"])]
        if params["fix_shape"]:
            arguments += ["--fix-shape", params["fix_shape"]]
        arguments += [f"--{option}" for option in ("fold", "int32") if params[option]]
        kept = {key: model.meta[key] for key in CARRIED if key in model.meta}
        products = [
            Product(name, "model", name, meta={**kept, "format": "onnx", "from": model.sha256}),
            # The log's last line has the open shapes alone; this has every tensor's.
            Product("report.json", REPORT, f"{PurePath(name).stem}-report.json", links={"of": name}),
        ]
        command = LocalCommand(
            [*arguments, "--report", "report.json", "--json"], {"model.onnx": model.sha256}, products, timeout_s=SECONDS
        )
        return Plan([Stage("Mend", [Lane(None, [Step("mend", f"Mend {model.name}", command)])])])
