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

from hardware.inventory.preflight import Claim, Need
from jobs.depot.contents import part_of, parts
from jobs.failures import JobFailed, PlanRefused
from jobs.kind import ArtifactRef, DepotView, Kind, Target
from jobs.plan import Lane, Plan, ReadFacts, Reboot, RunCommand, Stage, Step
from jobs.planning.collision import first_step
from jobs.software.driver_user import create_user
from jobs.software.packages import FOLDER, send_step

GIB = 1024**3

DRIVER_FILES = ["/usr/local/Ascend/driver", "/lib/modules", "/etc/ascend_install.info", "/var/log/ascend_seclog"]
FIRMWARE_FILES = ["/usr/local/Ascend/firmware", "/etc/ascend_install.info", "/var/log/ascend_seclog"]

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

    def claim(self, params: dict[str, Any], target: Target) -> Claim:
        return Claim(driver=True)

    def need(self, params: dict[str, Any], depot: DepotView) -> Need:
        driver, firmware = depot.get(params["driver"], "driver"), depot.get(params["firmware"], "firmware")
        return Need(
            architecture=str(driver.meta.get("architecture", "aarch64")),
            packages=("dkms", "gcc", "make"),
            kernel_headers=True,
            free={"/usr/local/Ascend": 2 * GIB, FOLDER: GIB + driver.size + firmware.size},
            replaces_driver=True,
            driver_tools=True,
            installs=(part_of(driver), part_of(firmware)),
            depot=parts(depot),
        )

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
            Step("driver", "Install driver", _install(driver, "--full --install-for-all", DRIVER_FILES)),
            Step("firmware", "Install firmware", _install(firmware, "--full", FIRMWARE_FILES)),
        ]
        if facts.driver is not None:
            installs.reverse()
        return Lane(
            target.name,
            [
                first_step(Claim(driver=True)),
                send_step("send-driver", driver, 0o755),
                send_step("send-firmware", firmware, 0o755),
                create_user(),
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


def _install(artifact: ArtifactRef, options: str, writes: list[str]) -> RunCommand:
    # Not repeatable: whether a half-done installation may be done over is for a person to say.
    command = f"cd {FOLDER} && ./{shlex.quote(artifact.name)} {options} --quiet"
    return RunCommand(command, timeout_s=1800, writes=writes)
