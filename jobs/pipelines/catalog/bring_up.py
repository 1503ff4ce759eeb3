"""From a bare machine to one that computes: OS packages, driver and firmware, CANN, MindSpore, and the proof.

A machine takes part in the stages that it lacks, by its facts when the pipeline is started; so it may be started again
on machines that are half done. Machines don't need each other: one that fails stays behind, the others go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from hardware.inventory.facts import Facts
from hardware.inventory.preflight import Need, evaluate, interpreter
from jobs.kind import ArtifactRef, DepotView, Target
from jobs.pipelines.definition import Definition, Stage

_BUILD = Need(kernel_headers=True, packages=("dkms", "gcc", "make"), driver_tools=True, replaces_driver=True)


class Params(serializers.Serializer[Any]):
    driver = serializers.IntegerField(min_value=1, label=_("Driver"))
    firmware = serializers.IntegerField(min_value=1, label=_("Firmware"))
    cann = serializers.IntegerField(min_value=1, label=_("CANN toolkit"))
    mindspore = serializers.IntegerField(
        min_value=1, required=False, label=_("MindSpore"), help_text=_("None: the machines get no MindSpore.")
    )
    packages = serializers.ListField(
        child=serializers.RegexField(r"^[A-Za-z0-9][A-Za-z0-9+._-]*$"), required=False, default=list, max_length=50,
        label=_("Further OS packages"), help_text=_("Beside what the machines lack by their facts."),
    )  # fmt: skip
    everything = serializers.BooleanField(
        default=False, label=_("Also install what is there already"),
        help_text=_("Otherwise a machine takes part in the stages that it lacks."),
    )  # fmt: skip


class BringUp(Definition):
    slug = "bring-up"
    title = _("Bring up machines")
    summary = _("OS packages, driver and firmware, CANN, MindSpore, then the proof that everything works.")
    tolerate = "100%"
    artifacts = {"driver": "driver", "firmware": "firmware", "cann": "cann", "mindspore": "mindspore"}
    restarts = frozenset({"driver"})
    words = {
        "os-packages": _("OS packages"),
        "driver": _("Driver and firmware"),
        "cann": _("CANN"),
        "mindspore": _("MindSpore"),
        "verify": _("Verify"),
    }
    Params = Params

    def stages(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> list[Stage]:
        parts = {
            name: self.artifact(params, name, depot)
            for name in ("driver", "firmware", "cann", "mindspore")
            if params.get(name)
        }
        mindspore = parts.get("mindspore")
        packages: list[str] = list(params["packages"])
        lacking: list[str] = []
        for target in targets:
            missing = _missing(target.require_facts(), mindspore)
            packages += [name for name in missing if name not in packages]
            if missing or params["packages"]:
                lacking.append(target.name)

        def those(has: str) -> list[str]:
            """The machines that lack a part."""
            return [t.name for t in targets if params["everything"] or not _has(t.require_facts(), has, parts)]

        stages = [
            Stage("os-packages", "install-os-packages", {"packages": packages}, lacking),
            Stage(
                "driver",
                "install-driver",
                {"driver": params["driver"], "firmware": params["firmware"]},
                those("driver"),
            ),
            Stage("cann", "install-cann", {"cann": params["cann"]}, those("cann")),
        ]
        if mindspore is not None:
            stages.append(
                Stage("mindspore", "install-mindspore", {"mindspore": params["mindspore"]}, those("mindspore"))
            )
        everyone = [target.name for target in targets]
        proof = Stage("verify", "verify", {"cann": True, "mindspore": mindspore is not None}, everyone)
        return [*(stage for stage in stages if stage.machines), proof]


def _missing(facts: Facts, mindspore: ArtifactRef | None) -> list[str]:
    """OS packages that the later stages will ask for: what the driver is built with, and MindSpore's Python."""
    found: list[str] = []
    for check in evaluate(facts, _BUILD):
        if check.severity == "block" and check.mend is not None and check.mend.kind == "install-os-packages":
            found += check.mend.params["packages"]
    if mindspore is not None:
        python = str(mindspore.meta["tags"][0]).split("-")[0].removeprefix("cp3")
        if interpreter(facts, f"3.{python}") is None:
            found.append(f"python3{python}")
    return found


def _has(facts: Facts, part: str, wanted: dict[str, ArtifactRef]) -> bool:
    if part == "driver":
        there = {
            "driver": facts.driver.version if facts.driver else None,
            "firmware": facts.firmware.version if facts.firmware else None,
        }
        listed = bool(facts.npus) and len(facts.npus) == len(facts.pci_npus)
        return listed and all(there[name] == wanted[name].version for name in there)
    found = {"cann": facts.cann, "mindspore": facts.mindspore}[part]
    return found is not None and found.version == wanted[part].version
