"""Convert a model: a checkpoint (safetensors) to ONNX on the console itself; ONNX or AIR to OM, or ONNX to MindIR, on a
machine that has the toolkit. The same input, parameters and toolkit give the stored result (``jobs.actions.stored``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext_lazy as _

from hardware.inventory.preflight import Need
from jobs.depot.contents import parts
from jobs.failures import PlanRefused
from jobs.kind import DepotView, Kind, Target
from jobs.kinds.convert import form, verdict
from jobs.kinds.convert.checkpoint import plan_onnx
from jobs.kinds.convert.machine import FOLDER
from jobs.kinds.convert.mindir import plan_mindir
from jobs.kinds.convert.om import plan_om
from jobs.kinds.quantize.report import REPORT, TEMPLATE, TITLE, shown
from jobs.models import Job
from jobs.plan import Plan, Step

GIB = 1024**3
_TOOLS = {"atc": verdict.ATC, "converter": verdict.CONVERTER_LITE}


class Convert(Kind):
    slug = "convert"
    title = _("Convert a model")
    summary = _("Checkpoint to ONNX without torch; ONNX or AIR to OM, ONNX to MindIR, on a machine with the toolkit.")
    targets = "optional"
    artifacts = {
        "checkpoint": "checkpoint",
        "head": "head",
        "model": "model",
        "aipp": "aipp",
        "calibration": "calibration",
    }
    report_title = TITLE
    report_template = TEMPLATE
    report_artifact = REPORT
    Params = form.Params

    def need(self, params: dict[str, Any], depot: DepotView) -> Need:
        free = {FOLDER: 2 * GIB}
        if params.get("to") == "mindir":
            return Need(free=free)
        return Need(npus=True, cann=True, free=free, depot=parts(depot))

    def plan(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> Plan:
        if params["to"] == "onnx":
            if targets:
                raise PlanRefused(
                    "targets-invalid",
                    "A checkpoint is converted to ONNX on the console itself.",
                    "Take the machine out of the targets.",
                    "targets",
                )
            return plan_onnx(params, depot)
        if not targets:
            tool, needs = {
                "om": ("atc", "CANN"),
                "mindir": ("converter_lite", "MindSpore Lite"),
            }[params["to"]]
            raise PlanRefused(
                "targets-invalid",
                f"{tool} runs on a machine with {needs}; none was named.",
                "Choose one machine.",
                "targets",
            )
        return {"om": plan_om, "mindir": plan_mindir}[params["to"]](params, targets[0], depot)

    def has_report(self, job: Job) -> bool:
        """A conversion that quantized as well has the page of a quantization."""
        return bool((job.result.get("report") or {}).get("quantization"))

    def report_page(self, job: Job, report: dict[str, Any], *, whole: bool) -> dict[str, Any]:
        # The log's last line has it within the report of the conversion; the depot's file is the quantization's own.
        return shown(job, report.get("quantization", report), whole=whole)

    def judge(self, step: Step, exit_status: int, log: str) -> dict[str, Any]:
        tool = _TOOLS.get(step.key)
        if tool is None:
            return super().judge(step, exit_status, log)
        return verdict.judge(tool, exit_status, log)
