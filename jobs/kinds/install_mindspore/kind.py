"""Install MindSpore from wheels of the depot for the machine's interpreter, and prove it by a computation on an NPU."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from hardware.inventory.preflight import Check, Mend, Need, interpreter, python_for_mindspore
from jobs.depot.contents import part_of, parts
from jobs.failures import JobFailed, PlanRefused
from jobs.kind import ArtifactRef, DepotView, Kind, Target
from jobs.kinds.install_mindspore.wheels import closure, python_of
from jobs.plan import Lane, Plan, ReadFacts, RunCommand, Stage, Step
from jobs.software.mindspore import check_command, judge_check
from jobs.software.packages import FOLDER, remote_path, send_step

GIB = 1024**3
# What CANN's own compiler, which MindSpore calls, imports; MindSpore's wheel does not ask for all of it.
EXTRAS = ["attrs", "decorator", "psutil", "scipy", "sympy"]

# What pip says -> what to do.
_MENDS = (
    ("is not a supported wheel on this platform", "Choose the wheel for this machine's Python and architecture."),
    ("No matching distribution found for", "Ingest the wheel that the message names, then run the job again."),
    ("No module named pip", "Install pip for this Python from the depot, then run the job again."),
    ("No space left on device", "Free space where Python keeps its packages, then run the job again."),
    ("externally-managed-environment", "Install a Python of its own for MindSpore: this one belongs to the system."),
)


class Params(serializers.Serializer[Any]):
    mindspore = serializers.IntegerField(min_value=1, label=_("MindSpore"))
    extras = serializers.ListField(
        child=serializers.CharField(max_length=100), default=EXTRAS, max_length=50, label=_("Further packages"),
        help_text=_("What CANN’s compiler needs beside what MindSpore asks for; one on each line."),
    )  # fmt: skip


class InstallMindspore(Kind):
    slug = "install-mindspore"
    title = _("Install MindSpore")
    summary = _("Wheels from the depot for the machine’s Python; proved by a computation on an NPU.")
    artifacts = {"mindspore": "mindspore"}
    Params = Params

    def need(self, params: dict[str, Any], depot: DepotView) -> Need:
        wheel = depot.get(params["mindspore"], "mindspore")
        return Need(
            architecture=str(wheel.meta.get("architecture", "aarch64")),
            npus=True,
            cann=True,
            free={"/usr/local": 3 * GIB, FOLDER: 2 * GIB},
            installs=(part_of(wheel),),
            depot=parts(depot),
        )

    def preflight(self, params: dict[str, Any], target: Target, depot: DepotView) -> list[Check]:
        python = python_of(depot.get(params["mindspore"], "mindspore"))
        package = f"python{python.replace('.', '')}"
        mend = None
        if depot.find("os-package", package=package):
            mend = Mend("install-os-packages", {"packages": [package]}, f"Install Python {python}")
        return list(python_for_mindspore(target.require_facts(), python, mend))

    def plan(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> Plan:
        wheel = depot.get(params["mindspore"], "mindspore")
        return Plan([Stage("Install", [self._lane(target, wheel, params["extras"], depot) for target in targets])])

    def _lane(self, target: Target, wheel: ArtifactRef, extras: Sequence[str], depot: DepotView) -> Lane:
        facts = target.require_facts()
        if not facts.architecture or facts.architecture != wheel.meta.get("architecture"):
            raise PlanRefused(
                "wrong-architecture",
                f"{wheel.name} is not for {target.name}, which is {facts.architecture}.",
                f"Choose a wheel for {facts.architecture}.",
                "mindspore",
            )
        python = python_of(wheel)
        # Without the interpreter preflight blocks; its plan can be looked at all the same.
        command = interpreter(facts, python) or f"python{python}"
        files = [wheel, *closure(wheel, extras, python, facts.architecture, depot)]
        named = " ".join(shlex.quote(remote_path(file)) for file in files)
        # Named one by one: nothing that an earlier job left in the folder can be taken instead.
        install = f"{command} -m pip install --no-index --no-cache-dir --disable-pip-version-check {named}"
        writes = [f"the packages of {command}"]
        check = check_command(command, wheel.version)
        version = wheel.version
        return Lane(
            target.name,
            [
                *(send_step(f"send-{file.meta['package']}"[:40], file) for file in files),
                Step("install", "Install MindSpore", RunCommand(install, 1800, repeatable=True, writes=writes)),
                Step("check", "MindSpore computes on an NPU", RunCommand(check, timeout_s=900, repeatable=True)),
                Step("verify", f"MindSpore {version} is there", ReadFacts({"mindspore": version})),
            ],
        )

    def judge(self, step: Step, exit_status: int, log: str) -> dict[str, Any]:
        if step.key == "check":
            return judge_check(step.title, exit_status, log)
        if step.key == "install" and exit_status != 0:
            for message, mend in _MENDS:
                if message in log:
                    line = next(line.strip() for line in reversed(log.splitlines()) if message in line)
                    said = re.sub(r"^ERROR: ", "", line)
                    raise JobFailed("pip-refused", f"{step.title}: {said[:300]}", mend)
        return super().judge(step, exit_status, log)
