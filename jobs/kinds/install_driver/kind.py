"""Install the NPU driver and firmware, restart if the installer says so, and prove it: npu-smi lists every chip.

Order (FACTS section 4): a first installation is driver, then firmware; an upgrade is firmware, then driver.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from hardware.inventory.preflight import Check, Need, evaluate
from jobs.failures import JobFailed, PlanRefused
from jobs.kind import ArtifactRef, DepotView, Kind, Target
from jobs.packages import FOLDER, send_step
from jobs.plan import Lane, Plan, ReadFacts, Reboot, RunCommand, Stage, Step

GIB = 1024**3

USER = (
    "getent group HwHiAiUser >/dev/null || groupadd HwHiAiUser; "
    "id HwHiAiUser >/dev/null 2>&1 || "
    "useradd -g HwHiAiUser -d /home/HwHiAiUser -m HwHiAiUser -s /bin/bash; id HwHiAiUser"
)

# What the installer prints (driver-messages) -> what to do.
_MENDS = (
    (
        "Drv_dkms_env_check failed",
        "Install the kernel headers of the running kernel, dkms, gcc and make, then run it again.",
    ),
    (
        "dkms install failed",
        "Read /var/log/ascend_seclog/ascend_install.log: the module did not build for this kernel.",
    ),
    ("The davinci nodes are occupied", "Stop the containers and processes that hold an NPU, then run it again."),
    ("The list of missing tools", "Install the tools that the message names, then run it again."),
    ("free space only", "Free space under /usr/local, then run it again."),
    ("There is no chip matching", "Choose the package for this machine's chip."),
    ("ERR_NO:0x0091", "Create the user and group HwHiAiUser, then run it again."),
    ("ERR_NO:0x0093", "Log in as root, or with sudo."),
    ("ERR_NO:0x0094", "Wait until the other installer has ended, then run it again."),
)
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Params(serializers.Serializer[Any]):
    driver = serializers.IntegerField(min_value=1, label=_("Driver"))
    firmware = serializers.IntegerField(min_value=1, label=_("Firmware"))


class InstallDriver(Kind):
    slug = "install-driver"
    title = _("Install driver and firmware")
    summary = _("From the depot: user, driver, firmware, restart if told, proof by npu-smi.")
    artifacts = {"driver": "driver", "firmware": "firmware"}
    Params = Params

    def preflight(self, params: dict[str, Any], target: Target, depot: DepotView) -> list[Check]:
        need = Need(
            packages=("dkms", "gcc", "make"),
            kernel_headers=True,
            free={"/usr/local/Ascend": 2 * GIB, FOLDER: GIB},
            replaces_driver=True,
        )
        return evaluate(target.require_facts(), need)

    def plan(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> Plan:
        driver = depot.get(params["driver"], "driver")
        firmware = depot.get(params["firmware"], "firmware")
        return Plan([Stage("Install", [self._lane(target, driver, firmware) for target in targets])])

    def _lane(self, target: Target, driver: ArtifactRef, firmware: ArtifactRef) -> Lane:
        facts = target.require_facts()
        chips = len(facts.pci_npus)
        if chips == 0:
            raise PlanRefused(
                "no-npu", f"{target.name} has no NPU on its PCI bus.", "Take it out of the targets.", "targets"
            )
        if not facts.architecture or facts.architecture not in driver.name:
            raise PlanRefused(
                "wrong-architecture",
                f"{driver.name} is not for {target.name}, which is {facts.architecture}.",
                f"Choose a driver for {facts.architecture}.",
                "driver",
            )
        installs = [
            Step("driver", "Install driver", _install(driver, "--full --install-for-all")),
            Step("firmware", "Install firmware", _install(firmware, "--full")),
        ]
        if facts.driver is not None:
            installs.reverse()
        return Lane(
            target.name,
            [
                send_step("send-driver", driver, 0o755),
                send_step("send-firmware", firmware, 0o755),
                Step("user", "Create user HwHiAiUser", RunCommand(USER, timeout_s=60, repeatable=True)),
                *installs,
                Step("reboot", "Restart, if the installer asks for it", Reboot(only_if="reboot_needed")),
                Step("verify", f"npu-smi lists {chips} healthy NPUs", ReadFacts({"npus": chips})),
            ],
        )

    def judge(self, step: Step, exit_status: int, log: str) -> dict[str, Any]:
        """The installer's exit code alone is not trusted: its closing line must say that it was successful."""
        if step.key not in ("driver", "firmware"):
            return super().judge(step, exit_status, log)
        text = _ANSI.sub("", log)
        done = re.search(r"package (installed|upgraded) successfully!(.*)", text)
        if exit_status == 0 and done:
            return {"reboot_needed": "eboot" in done.group(2)}
        said = next((line.strip() for line in reversed(text.splitlines()) if "ERR" in line or "rror" in line), "")
        for message, mend in _MENDS:
            if message in text:
                said = next(line.strip() for line in text.splitlines() if message in line)
                raise JobFailed("installer-refused", f"{step.title}: {said}", mend)
        said = said or "it said nothing of success"
        raise JobFailed(
            "installer-failed",
            f"{step.title} ended with exit code {exit_status}: {said}.",
            "Read /var/log/ascend_seclog/ascend_install.log on the machine.",
        )


def _install(artifact: ArtifactRef, options: str) -> RunCommand:
    # Not repeatable: whether a half-done installation may be done over is for a person to say.
    return RunCommand(f"cd {FOLDER} && ./{shlex.quote(artifact.name)} {options} --quiet", timeout_s=1800)
