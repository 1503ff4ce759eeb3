"""ONNX to MindIR, by converter_lite on a machine with MindSpore Lite (FACTS section 3)."""

from __future__ import annotations

import re
import shlex
from typing import Any

from jobs.actions.stored import Provenance, from_depot
from jobs.failures import PlanRefused
from jobs.kind import DepotView, Target
from jobs.kinds.convert.machine import after_check, fetch, require_format, send, steps_on, work_folder
from jobs.kinds.convert.verdict import kept
from jobs.plan import Plan, RunCommand, Step
from jobs.software.cann import LOAD_IF_THERE

_PACKAGE = re.compile(r"(?P<root>.*/mindspore-lite-(?P<version>[^/]+?)(?:-linux-\w+)?)/tools/converter/converter/")


def plan_mindir(params: dict[str, Any], target: Target, depot: DepotView) -> Plan:
    model = depot.get(params["model"], "model")
    facts = target.require_facts()
    require_format(model, ("onnx",), "converter_lite")
    converter = facts.converter_lite
    if converter is None:
        raise PlanRefused(
            "converter-missing",
            f"{target.name} has no converter_lite: neither on PATH nor under /opt or /usr/local.",
            "Unpack MindSpore Lite to /opt or /usr/local, then probe the machine again.",
            "targets",
        )
    package = _PACKAGE.match(converter)
    options = {"fmk": "ONNX", "saveType": "MINDIR", "optimize": "ascend_oriented"}
    shape = params["input_shape"].strip()
    if shape:
        options["inputShape"] = shape
    provenance = Provenance(
        {"model": model.sha256},
        {**options, "architecture": facts.architecture or ""},
        f"MindSpore Lite {package['version']}" if package else "",
        target.name,
        facts.simulated,
    )
    if not params.get("again") and (found := from_depot(depot, "model", provenance)) is not None:
        return found.plan()
    name, folder = f"{params['name']}.mindir", work_folder(model)
    words = " ".join(f"--{option}={shlex.quote(value)}" for option, value in options.items())
    # Its libraries lie beside it; for Ascend it asks CANN's as well, where that is installed.
    libraries = (
        f"LD_LIBRARY_PATH={shlex.quote(package['root'] + '/tools/converter/lib')}:"
        f"{shlex.quote(package['root'] + '/runtime/lib')}:$LD_LIBRARY_PATH "
        if package
        else ""
    )
    command = (
        f"{LOAD_IF_THERE} && cd {folder} && {libraries}{shlex.quote(converter)} {words} "
        f"--modelFile=model.onnx --outputFile={shlex.quote(params['name'])} && {kept(shlex.quote(name))}"
    )
    steps = [
        send("send", model, f"{folder}/model.onnx"),
        Step(
            "converter", f"Convert {model.name} to MindIR", RunCommand(command, 3600, repeatable=True, writes=[folder])
        ),
        fetch(
            f"{folder}/{name}", name, model, provenance, format="mindir", **({"input_shape": shape} if shape else {})
        ),
    ]
    return after_check(model, ["--input_shape", shape] if shape else [], steps_on(target.name, folder, steps))
