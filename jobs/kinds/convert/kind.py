"""Convert a model: a checkpoint (safetensors) to ONNX on the console itself, or ONNX to OM on a machine with atc.

MindIR is no input of atc (FACTS section 2), so the way to OM is ONNX with ``--framework=5``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from hardware.inventory.preflight import Check, Need, evaluate
from jobs.conversion.checks import soc_version_of
from jobs.conversion.errors import ConversionRefused
from jobs.conversion.graph import INLINE_LIMIT
from jobs.failures import JobFailed, PlanRefused
from jobs.kind import ArtifactRef, DepotView, Kind, Target
from jobs.plan import FetchArtifact, Lane, LocalCommand, Plan, Product, RunCommand, SendArtifact, Stage, Step

FOLDER = "/var/tmp/ascend-console/conversion"
SET_ENV = "/usr/local/Ascend/ascend-toolkit/set_env.sh"
GIB = 1024**3

# What atc says (FACTS section 2) -> what to do.
_MENDS = (
    ("E10001", "Correct the value that the message names; --soc_version is Ascend + the Name that npu-smi shows."),
    ("E10003", "Correct the value that the message names."),
    ("E10014", "Correct the value that the message names."),
    ("E10007", "Give the option that the message names."),
    ("E10054", "Give the option that the message names."),
    ("E19010", "Replace the operator that the message names, or convert for a CANN that knows it."),
    ("EZ3003", "The chip has no kernel for this operator: convert with another precision, or replace it."),
    ("EC0010", "Install the Python module that the message names on the machine."),
    ("E40000", "Install CANN again: its Python part is not whole."),
    ("libascend_hal.so", "Install the driver first: CANN finds no driver library."),
)


class Params(serializers.Serializer[Any]):
    to = serializers.ChoiceField(
        [("onnx", _("ONNX, on the console")), ("om", _("OM, on a machine with atc"))], label=_("Convert to")
    )
    name = serializers.RegexField(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,60}$", label=_("Name of the result"))
    checkpoint = serializers.IntegerField(min_value=1, required=False, label=_("Checkpoint (for ONNX)"))
    head = serializers.IntegerField(min_value=1, required=False, label=_("Classifier head (for ONNX)"))
    max_length = serializers.IntegerField(min_value=1, max_value=8192, default=64, label=_("Tokens of a text at most"))
    model = serializers.IntegerField(min_value=1, required=False, label=_("ONNX model (for OM)"))
    input_shape = serializers.CharField(
        required=False, default="", allow_blank=True, label=_("Input shape (for OM)"),
        help_text=_("As atc reads it: input_ids:1,64;attention_mask:1,64. Empty: one text of the model's length."),
    )  # fmt: skip
    soc_version = serializers.RegexField(
        r"^[A-Za-z0-9_]*$", required=False, default="", allow_blank=True, label=_("soc_version (for OM)"),
        help_text=_("Empty: the chip of the machine that converts."),
    )  # fmt: skip

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        needed = {"onnx": "checkpoint", "om": "model"}[attrs["to"]]
        if needed not in attrs:
            raise serializers.ValidationError({needed: _("This is needed to convert to it.")})
        return attrs


class Convert(Kind):
    slug = "convert"
    title = _("Convert a model")
    summary = _("Checkpoint to ONNX without torch, or ONNX to OM with atc on a machine.")
    targets = "optional"
    artifacts = {"checkpoint": "checkpoint", "head": "head", "model": "model"}
    Params = Params

    def preflight(self, params: dict[str, Any], target: Target, depot: DepotView) -> list[Check]:
        return evaluate(target.require_facts(), Need(npus=True, cann=True, free={FOLDER: 2 * GIB}))

    def plan(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> Plan:
        if params["to"] == "onnx":
            if targets:
                raise PlanRefused(
                    "targets-invalid",
                    "A checkpoint is converted to ONNX on the console itself.",
                    "Take the machine out of the targets.",
                    "targets",
                )
            return self._to_onnx(params, depot)
        if not targets:
            raise PlanRefused(
                "targets-invalid", "atc runs on a machine with CANN; none was named.", "Choose one machine.", "targets"
            )
        return self._to_om(params, targets[0], depot)

    def _to_onnx(self, params: dict[str, Any], depot: DepotView) -> Plan:
        checkpoint = depot.get(params["checkpoint"], "checkpoint")
        head = depot.get(params["head"], "head") if params.get("head") else None
        if checkpoint.size > INLINE_LIMIT:
            raise PlanRefused(
                "model-too-large",
                f"{checkpoint.name}: {checkpoint.size:,} bytes; its ONNX would be two files, and the depot keeps one.",
                f"Convert it with python -m jobs.conversion; here, {INLINE_LIMIT:,} bytes are the most.",
                "checkpoint",
            )
        name, length = params["name"], params["max_length"]
        model, profile = f"{name}.onnx", f"{name}-profile.json"
        arguments = ["python", "-m", "jobs.conversion", "checkpoint.tar", model]
        inputs = {"checkpoint.tar": checkpoint.sha256}
        products = []
        meta = {"format": "onnx", "max_length": length, "from": checkpoint.sha256}
        if head is not None:
            # What a model is asked, and how its answers are called, is known with its head only.
            arguments += ["--head", "head.npz", "--profile", profile, "--name", name, "--max-length", str(length)]
            inputs["head.npz"] = head.sha256
            products.append(Product(profile, "profile", profile))
        links = {"profile": profile} if head is not None else {}
        products.append(Product(model, "model", model, meta=meta, links=links))
        arguments.append("--json")
        step = Step("convert", f"Convert {checkpoint.name} to ONNX", LocalCommand(arguments, inputs, products))
        return Plan([Stage("Convert", [Lane(None, [step])])])

    def _to_om(self, params: dict[str, Any], target: Target, depot: DepotView) -> Plan:
        model = depot.get(params["model"], "model")
        facts = target.require_facts()
        if model.meta.get("format") == "om":
            raise PlanRefused("model-is-om", f"{model.name} is an OM already.", "Choose an ONNX model.", "model")
        soc = params["soc_version"] or self._soc(target)
        shape = params["input_shape"] or _one_text(model)
        cann = facts.cann.version if facts.cann else ""
        check = [
            "python", "-m", "jobs.conversion.checks", "model.onnx", "--input_shape", shape, "--cann", cann, "--json",
        ]  # fmt: skip
        name = f"{params['name']}.om"
        folder = f"{FOLDER}/{model.sha256[:16]}"
        product = Product(
            f"{folder}/{name}",
            "model",
            name,
            meta={
                **{key: model.meta[key] for key in ("profile", "max_length", "scheme") if key in model.meta},
                "format": "om",
                "from": model.sha256,
                "soc_version": soc,
                "input_shape": shape,
                "cann": cann,
                "simulated": facts.simulated,
            },
        )
        command = (
            f". {SET_ENV} && cd {folder} && atc --model=model.onnx --framework=5 --output={params['name']} "
            f"--input_format=ND --input_shape={shlex.quote(shape)} --soc_version={soc} --log=error"
        )
        send = SendArtifact(model.sha256, model.name, model.size, f"{folder}/model.onnx")
        return Plan(
            [
                Stage("Check", [Lane(None, [Step("check", f"Check {model.name}", _check(check, model))])]),
                Stage(
                    "Convert",
                    [
                        Lane(
                            target.name,
                            [
                                Step("send", f"Send {model.name}", send),
                                Step("atc", f"Convert for {soc}", RunCommand(command, 3600, repeatable=True)),
                                Step("fetch", f"Fetch {name}", FetchArtifact(product)),
                                Step("clean", "Remove the work folder", _remove(folder)),
                            ],
                            [Step("clean", "Remove the work folder", _remove(folder))],
                        )
                    ],
                ),
            ]
        )

    def _soc(self, target: Target) -> str:
        names = {npu.name for npu in target.require_facts().npus if npu.name}
        if len(names) != 1:
            raise PlanRefused(
                "soc-version-unknown",
                f"{target.name}: npu-smi names {', '.join(sorted(names)) or 'no chip'}: its soc_version is not known.",
                "Install the driver and probe again, or give the soc_version.",
                "soc_version",
            )
        try:
            return soc_version_of(names.pop())
        except ConversionRefused as wrong:
            raise PlanRefused(wrong.code, f"{target.name}: {wrong.message}", wrong.mend, "soc_version") from wrong

    def judge(self, step: Step, exit_status: int, log: str) -> dict[str, Any]:
        """atc's own closing line decides, and its code says what to do."""
        if step.key != "atc" or (exit_status == 0 and "ATC run success" in log):
            return super().judge(step, exit_status, log)
        for code, mend in _MENDS:
            line = next((line.strip() for line in log.splitlines() if code in line), None)
            if line:
                # A newer atc puts process id and time between code and text.
                said = re.sub(r"\[PID: \d+\] \S+ ", "", line)
                raise JobFailed("atc-refused", f"atc refused the model: {said}", mend)
        return super().judge(step, exit_status or 1, log)


def _check(arguments: list[str], model: ArtifactRef) -> LocalCommand:
    return LocalCommand(arguments, {"model.onnx": model.sha256}, timeout_s=600)


def _remove(folder: str) -> RunCommand:
    return RunCommand(f"rm -rf -- {folder}", timeout_s=60, repeatable=True)


def _one_text(model: ArtifactRef) -> str:
    length = model.meta.get("max_length")
    if not length:
        raise PlanRefused(
            "input-shape-missing",
            f"The depot does not know the inputs of {model.name}.",
            "Give the input shape, such as input_ids:1,128.",
            "input_shape",
        )
    return ";".join(f"{name}:1,{length}" for name in ("input_ids", "attention_mask", "token_type_ids"))
