"""Quantize a large language model to w8a8 with msModelSlim, on a machine that has NPUs, CANN, torch and msModelSlim.

What the console itself makes smaller are ONNX models (``quantize``); integer arithmetic of a language model on the NPU
needs Huawei's own tool, and its activations need the NPU. The result is a folder for vLLM-Ascend
(``--quantization ascend``) or MindIE. Hashes of its files come into the depot, its weights where they are small enough.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext_lazy as _

from hardware.inventory.facts import Facts
from hardware.inventory.preflight import Claim, Need
from jobs.actions.stored import Provenance, from_depot
from jobs.depot.contents import parts
from jobs.failures import JobFailed, PlanRefused
from jobs.kind import ArtifactRef, DepotView, Kind, Target
from jobs.kinds.quantize_llm import commands, form
from jobs.kinds.quantize_llm.commands import Places
from jobs.plan import FetchArtifact, Lane, Plan, Product, RunCommand, SendArtifact, Stage, Step

FOLDER = "/var/tmp/ascend-console/quantization"
GIB = 1024**3
FETCHED_UP_TO = 8 * GIB
DAY = 24 * 3600
NEEDED = ("torch", "torch_npu", "msmodelslim")


class QuantizeLLM(Kind):
    slug = "quantize-llm"
    title = _("Quantize a language model (w8a8)")
    summary = _("msModelSlim on a machine with NPUs: weights and activations in 8 bit, for vLLM-Ascend and MindIE.")
    targets = "one"
    artifacts = {"checkpoint": "checkpoint"}
    Params = form.Params

    def need(self, params: dict[str, Any], depot: DepotView) -> Need:
        size = 0
        if params.get("checkpoint"):
            # The archive, unpacked, the result of about half the size, and its archive.
            size = int(3 * depot.get(params["checkpoint"], "checkpoint").size)
        return Need(npus=True, cann=True, free={FOLDER: max(size, GIB)}, depot=parts(depot))

    def claim(self, params: dict[str, Any], target: Target) -> Claim:
        return Claim(npus=tuple(int(number) for number in str(params["devices"]).split(",")))

    def plan(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> Plan:
        target = targets[0]
        facts = target.require_facts()
        missing = [name for name in NEEDED if name not in facts.python_packages]
        if missing:
            raise PlanRefused(
                "msmodelslim-missing",
                f"{target.name} has no {', '.join(missing)} in any Python that the probe looks at.",
                "Install torch, torch_npu and msModelSlim on the machine, then probe it again.",
                "targets",
            )
        checkpoint = depot.get(params["checkpoint"], "checkpoint") if params.get("checkpoint") else None
        provenance = _provenance(params, target.name, facts, checkpoint)
        fetched = params["keep"] == "fetch" or (
            params["keep"] == "by-size" and checkpoint is not None and checkpoint.size <= FETCHED_UP_TO
        )
        if checkpoint is not None and fetched and not params.get("again"):
            found = from_depot(depot, "checkpoint", provenance)
            if found is not None:
                return found.plan()
        return Plan([Stage("Quantize", [_lane(params, target.name, checkpoint, provenance, fetched=fetched)])])

    def judge(self, step: Step, exit_status: int, log: str) -> dict[str, Any]:
        last = next((line.strip()[:300] for line in reversed(log.splitlines()) if line.strip()), "it said nothing")
        if step.key == "look" and exit_status != 0:
            raise JobFailed(
                "not-ready",
                f"msModelSlim was not started: {last}",
                "Mend it on the machine, or correct the parameters.",
            )
        if step.key == "finish" and exit_status == 0 and last.split()[0].isdigit():
            return {"bytes": int(last.split()[0]), "folder": last.split()[-1]}
        if step.key != "quantize" or exit_status == 0:
            return super().judge(step, exit_status, log)
        if exit_status == commands.NO_FILE:
            raise JobFailed(
                "result-missing",
                "msModelSlim ended well and wrote no quantized weights.",
                "Read the step's log: it may have asked a question, for it has no settings for this model.",
            )
        if "out of memory" in log:
            line = next(line.strip() for line in log.splitlines() if "out of memory" in line)
            raise JobFailed(
                "npu-out-of-memory", f"msModelSlim: {line[:300]}", "Give it more NPUs, or free those that it has."
            )
        raise JobFailed(
            "msmodelslim-failed",
            f"msModelSlim ended with exit code {exit_status}: {last}",
            "Read the step's log, mend what it names, then run the job again.",
        )


def _provenance(params: dict[str, Any], machine: str, facts: Facts, checkpoint: ArtifactRef | None) -> Provenance:
    versions = [f"{name} {facts.python_packages[name]}" for name in reversed(NEEDED)]
    cann = [f"CANN {facts.cann.version}"] if facts.cann else []
    return Provenance(
        {"checkpoint": checkpoint.sha256} if checkpoint else {},
        {
            "recipe": params["recipe"],
            "model_type": params["model_type"],
            "quant_type": "w8a8",
            "trust_remote_code": params["trust_remote_code"],
            **({} if checkpoint else {"model_path": params["model_path"]}),
        },
        ", ".join([*versions, *cann]),
        machine,
        facts.simulated,
    )


def _lane(
    params: dict[str, Any], machine: str, checkpoint: ArtifactRef | None, provenance: Provenance, *, fetched: bool
) -> Lane:
    name = params["name"]
    result = f"{params['folder']}/{name}"
    work = f"{FOLDER}/{hashlib.sha256(result.encode()).hexdigest()[:16]}"
    places = Places(f"{work}/weights" if checkpoint else params["model_path"], f"{result}.part", result, work)
    meta = {**provenance.meta(), "scheme": "w8a8", "folder": result}
    steps = [
        Step(
            "look",
            "Everything is there for it",
            RunCommand(commands.look(params, places, sent=bool(checkpoint)), 60, True),
        )
    ]
    if checkpoint is not None:
        archive = f"{work}/checkpoint.tar"
        send = SendArtifact(checkpoint.sha256, checkpoint.name, checkpoint.size, archive)
        steps += [
            Step("send", f"Send {checkpoint.name}", send),
            Step("unpack", "Unpack the checkpoint", RunCommand(commands.unpack(places), 3600, True, writes=[work])),
        ]
    manifest = Product(f"{work}/manifest.sha256", "manifest", f"{name}.sha256", meta=meta)
    steps += [
        Step(
            "quantize",
            "Quantize with msModelSlim",
            RunCommand(commands.quantize(params, places), 2 * DAY, True, writes=[places.part, work]),
        ),
        Step(
            "finish",
            "Hash the result",
            RunCommand(commands.finish(places), 4 * 3600, True, writes=[places.part, result, work]),
        ),
        Step("fetch-manifest", f"Fetch {name}.sha256", FetchArtifact(manifest)),
    ]
    if fetched:
        product = Product(f"{work}/result.tar", "checkpoint", f"{name}.tar", meta=meta)
        steps += [
            Step("pack", "Pack the result", RunCommand(commands.pack(places), 3600, True, writes=[work])),
            Step("fetch", f"Fetch {name}.tar", FetchArtifact(product)),
        ]

    def clean(paths: list[str]) -> Step:
        remove = RunCommand(f"rm -rf -- {' '.join(paths)}", 600, repeatable=True, writes=paths)
        return Step("clean", "Remove the work folder", remove)

    return Lane(machine, [*steps, clean([work])], [clean([work, places.part])])
