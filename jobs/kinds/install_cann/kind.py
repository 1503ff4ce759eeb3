"""Install CANN, which brings atc: checked against the machine before a byte is copied, proved by its install info."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from hardware.inventory.preflight import Need
from hardware.inventory.preflight.versions import key
from jobs.depot.contents import part_of, parts
from jobs.failures import JobFailed, PlanRefused
from jobs.kind import DepotView, Kind, Target
from jobs.plan import Lane, Plan, ReadFacts, RunCommand, Stage, Step
from jobs.software import cann as places
from jobs.software.packages import FOLDER, send_step

GIB = 1024**3
LOGS = "/var/log/ascend_seclog"


class Params(serializers.Serializer[Any]):
    cann = serializers.IntegerField(min_value=1, label=_("CANN toolkit"))


class InstallCann(Kind):
    slug = "install-cann"
    title = _("Install CANN")
    summary = _("The toolkit from the depot; with it comes atc, which converts ONNX to OM.")
    artifacts = {"cann": "cann"}
    Params = Params

    def need(self, params: dict[str, Any], depot: DepotView) -> Need:
        cann = depot.get(params["cann"], "cann")
        return Need(
            architecture=str(cann.meta.get("architecture", "aarch64")),
            npus=True,
            # FACTS section 4: more than 10 GB free.
            free={"/usr/local/Ascend": 10 * GIB, FOLDER: GIB + cann.size},
            installs=(part_of(cann),),
            depot=parts(depot),
        )

    def plan(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> Plan:
        cann = depot.get(params["cann"], "cann")
        lanes = []
        for target in targets:
            facts = target.require_facts()
            if not facts.architecture or facts.architecture not in cann.name:
                raise PlanRefused(
                    "wrong-architecture",
                    f"{cann.name} is not for {target.name}, which is {facts.architecture}.",
                    f"Choose a toolkit for {facts.architecture}.",
                    "cann",
                )
            command = f"cd {FOLDER} && ./{shlex.quote(cann.name)} --install --install-for-all --quiet"
            lanes.append(
                Lane(
                    target.name,
                    [
                        send_step("send-cann", cann, 0o755),
                        Step("cann", "Install CANN", RunCommand(command, timeout_s=3600, writes=_writes(cann.version))),
                        Step("verify", f"CANN {cann.version} is there", ReadFacts({"cann": cann.version})),
                    ],
                )
            )
        return Plan([Stage("Install", lanes)])

    def judge(self, step: Step, exit_status: int, log: str) -> dict[str, Any]:
        """The closing line must say that it was successful; the exit code alone is not trusted."""
        if step.key != "cann" or (exit_status == 0 and re.search(r"Toolkit:\s.*install success", log)):
            return super().judge(step, exit_status, log)
        said = next((line.strip() for line in reversed(log.splitlines()) if "ERR" in line or "rror" in line), "")
        raise JobFailed(
            "installer-failed",
            f"{step.title} ended with exit code {exit_status}: {said or 'it said nothing of success'}.",
            "Read /var/log/ascend_seclog/ascend_toolkit_install.log on the machine.",
        )


def _writes(version: str) -> list[str]:
    """Since 8.5 a version lies in a folder of its own, which ``cann`` leads to."""
    if key(version) < key("8.5.rc1"):
        return [places.OLD_FOLDER, LOGS]
    return [f"{places.FOLDER}-{version}", places.FOLDER, LOGS]
