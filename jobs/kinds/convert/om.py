"""ONNX or AIR to OM, by atc on a machine with CANN (FACTS section 2).

MindIR is no input of atc. An AIR has its shapes in it: with ``--framework=1`` atc takes no ``--input_shape``.
"""

from __future__ import annotations

import shlex
from typing import Any

from jobs.actions.stored import Provenance, from_depot
from jobs.conversion.aipp import Aipp, check_with
from jobs.conversion.cann import FAMILIES, soc_version_of
from jobs.conversion.checks import Profiles, check_axes, parse_input_shape, read_profiles
from jobs.conversion.shapes import default_shape
from jobs.failures import PlanRefused
from jobs.kind import ArtifactRef, DepotView, Target
from jobs.kinds.convert.form import DYNAMIC
from jobs.kinds.convert.machine import (
    after_check,
    fetch,
    refused_at,
    require_format,
    send,
    steps_on,
    work_folder,
)
from jobs.kinds.convert.verdict import kept
from jobs.plan import Plan, RunCommand, Step
from jobs.software.cann import LOAD

FRAMEWORKS = {"onnx": "5", "air": "1"}
# What a text encoder without an inspection has: the console's own conversions.
ENCODER_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def plan_om(params: dict[str, Any], target: Target, depot: DepotView) -> Plan:
    model = depot.get(params["model"], "model")
    facts = target.require_facts()
    form = require_format(model, ("onnx", "air"), "atc")
    profiles = _profiles(params)
    flag, value = (profiles.option, profiles.value) if profiles else ("", "")
    shape = _shape(params, model, form, profiles)
    aipp, aipp_text = _aipp(params, depot, profiles)
    soc = _asked_soc(params["soc_version"]) or _soc(target)
    images = flag == "dynamic_image_size" or aipp is not None or aipp_text or form == "air"
    options = {
        "framework": FRAMEWORKS[form],
        "input_format": "NCHW" if images else "ND",
        "input_shape": shape,
        "soc_version": soc,
        flag: value,
        "precision_mode": params.get("precision_mode", ""),
        "output_type": params.get("output_type", ""),
    }
    options = {name: value for name, value in options.items() if name and value}
    version = facts.cann.version if facts.cann else ""
    provenance = Provenance(
        {"model": model.sha256, **({"aipp": aipp.sha256} if aipp else {})},
        {**options, "aipp": aipp_text, "architecture": facts.architecture or ""},
        f"CANN {version}" if version else "",
        target.name,
        facts.simulated,
    )
    if not params.get("again") and (found := from_depot(depot, "model", provenance)) is not None:
        return found.plan()
    name, folder = f"{params['name']}.om", work_folder(model)
    file = f"model.{form}"
    said = {"format": "om", "soc_version": soc, "input_shape": shape, "cann": version}
    if flag:
        said["dynamic"] = f"{flag}={value}"
    steps = [send("send", model, f"{folder}/{file}")]
    if aipp is not None:
        steps.append(send("send-aipp", aipp, f"{folder}/aipp.cfg"))
    command = _command(folder, file, params["name"], options, aipp_text, with_aipp=bool(aipp or aipp_text))
    steps += [
        Step("atc", f"Convert for {soc}", RunCommand(command, 3600, repeatable=True, writes=[folder])),
        fetch(f"{folder}/{name}", name, model, provenance, **said),
    ]
    made = steps_on(target.name, folder, steps)
    if form != "onnx":
        return made
    asked = ["--input_shape", shape, *([f"--{flag}", value] if flag else []), "--cann", version]
    return after_check(model, asked, made)


def _command(folder: str, file: str, name: str, options: dict[str, str], aipp_text: str, *, with_aipp: bool) -> str:
    """POSIX sh; every value is quoted, none is taken as a piece of the command."""
    words = " ".join(f"--{option}={shlex.quote(value)}" for option, value in options.items() if option != "framework")
    if with_aipp:
        words += " --insert_op_conf=aipp.cfg"
    write = f"printf %s {shlex.quote(aipp_text)} >aipp.cfg && " if aipp_text else ""
    return (
        f"{LOAD} && cd {folder} && {write}atc --model={file} --framework={options['framework']} "
        f"--output={shlex.quote(name)} {words} --log=error && {kept(shlex.quote(name + '.om'))}"
    )


def _profiles(params: dict[str, Any]) -> Profiles | None:
    given = [params.get(flag, "").strip() for flag in DYNAMIC]
    flag = next((flag for flag, text in zip(DYNAMIC, given, strict=True) if text), "")
    with refused_at(flag):
        return read_profiles(*given)


def _shape(params: dict[str, Any], model: ArtifactRef, form: str, profiles: Profiles | None) -> str:
    """``--input_shape``: as it was given, or by the model's own inputs; empty for an AIR."""
    given = params["input_shape"].strip()
    flag = profiles.option if profiles else ""
    if form == "air":
        if given or flag:
            raise PlanRefused(
                "air-has-shapes",
                f"{model.name} is an AIR, which has its shapes in it: atc ignores --input_shape for it.",
                "Leave shapes and dynamic sizes out, or convert the ONNX of the model.",
                "input_shape" if given else flag,
            )
        return ""
    if given:
        with refused_at(flag or "input_shape"):
            shapes = parse_input_shape(given)
            if profiles:
                check_axes(shapes, profiles)
        return given
    length = model.meta.get("max_length")
    inputs = model.meta.get("inputs") or []
    if not inputs and length:
        inputs = [{"name": name, "shape": ["batch", "length"]} for name in ENCODER_INPUTS]
    with refused_at(flag or "input_shape"):
        return default_shape(model.name, inputs, profiles, length)


def _aipp(params: dict[str, Any], depot: DepotView, profiles: Profiles | None) -> tuple[ArtifactRef | None, str]:
    """AIPP as a file of the depot, or the text of its fields."""
    fields = params.get("aipp_fields")
    if not params.get("aipp") and not fields:
        return None, ""
    with refused_at("aipp_fields" if fields else "aipp"):
        made = Aipp(**fields) if fields else None
        if profiles:
            check_with(profiles, made)
        return (None, made.text()) if made else (depot.get(params["aipp"], "aipp"), "")


def _asked_soc(given: str) -> str:
    """Any chip's, also one that is not known here; no family's."""
    if given in FAMILIES:
        with refused_at("soc_version"):
            soc_version_of(given)
    return given


def _soc(target: Target) -> str:
    names = {npu.name for npu in target.require_facts().npus if npu.name}
    if len(names) != 1:
        raise PlanRefused(
            "soc-version-unknown",
            f"{target.name}: npu-smi names {', '.join(sorted(names)) or 'no chip'}: its soc_version is not known.",
            "Install the driver and probe again, or give the soc_version.",
            "soc_version",
        )
    with refused_at("soc_version", target.name):
        return soc_version_of(names.pop())
