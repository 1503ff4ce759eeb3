"""Package a model with the serving code and a base image into one archive that docker loads without a registry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from jobs.failures import PlanRefused
from jobs.kind import DepotView, Kind, Target
from jobs.plan import Lane, LocalCommand, Plan, Product, Stage, Step


class Params(serializers.Serializer[Any]):
    model = serializers.IntegerField(min_value=1, label=_("Model (ONNX or OM)"))
    base = serializers.IntegerField(min_value=1, label=_("Base image"))
    name = serializers.RegexField(r"^[a-z0-9]+([._/-][a-z0-9]+)*$", max_length=120, label=_("Image name"))
    tag = serializers.RegexField(r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$", label=_("Tag"))


class PackageImage(Kind):
    slug = "package-image"
    title = _("Package an image")
    summary = _("Base image, serving code and model in one OCI archive.")
    targets = "none"
    artifacts = {"model": "model", "base": "base-image"}
    Params = Params

    def plan(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> Plan:
        model = depot.get(params["model"], "model")
        form = str(model.meta.get("format", "onnx"))
        if form not in ("onnx", "om") or model.meta.get("dynamic"):
            what = "an OM of several shapes" if form == "om" else f"no ONNX and no OM but {form}"
            raise PlanRefused(
                "model-not-served",
                f"{model.name} is {what}, which the console's own engine does not serve.",
                "Choose an ONNX, or an OM of one shape.",
                "model",
            )
        base = depot.get(params["base"], "base-image")
        profile = depot.by_sha256(str(model.meta.get("profile", "")))
        if profile is None:
            raise PlanRefused(
                "profile-missing",
                f"The depot has no profile of {model.name}: its labels and tokenizer are not known.",
                "Convert the model from its checkpoint again.",
                "model",
            )
        name, tag = params["name"], params["tag"]
        file = f"model.{form}"
        arguments = [
            "python", "-m", "jobs.kinds.package_image", "--base", "base.tar", "--model", file,
            "--profile", "profile.json", "--name", name, "--tag", tag, "--output", "image.tar",
        ]  # fmt: skip
        inputs = {"base.tar": base.sha256, file: model.sha256, "profile.json": profile.sha256}
        meta: dict[str, Any] = {"image": f"{name}:{tag}", "model": model.sha256, "base": base.sha256}
        # What compatibility is judged by: the base's CANN and engine, and the chip that the model is for.
        meta |= {key: base.meta[key] for key in ("cann", "engine", "chips") if base.meta.get(key)}
        if model.meta.get("soc_version"):
            meta["soc_version"] = model.meta["soc_version"]
        if base.meta.get("simulated") or model.meta.get("simulated"):
            meta["simulated"] = True
        product = Product("image.tar", "image", f"{name.replace('/', '-')}-{tag}.tar", version=tag, meta=meta)
        step = Step("package", f"Package {name}:{tag}", LocalCommand(arguments, inputs, [product]))
        return Plan([Stage("Package", [Lane(None, [step])])])
