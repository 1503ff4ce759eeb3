"""Every code of a check, with its cause in a few words: what machines are grouped by. docs/preflight.md explains them.

Where a code means another thing when it only warns, that has a line of its own: ``code/warn``; and so has a case that
the check names in its values: ``code/case``.
"""

from __future__ import annotations

from hardware.inventory.preflight.records import Check, gettext_noop

CAUSES: dict[str, str] = {
    "architecture": gettext_noop("Wrong architecture"),
    "system": gettext_noop("Another operating system"),
    "memory": gettext_noop("Too little memory"),
    "kernel-headers": gettext_noop("Kernel headers are missing"),
    "packages-missing": gettext_noop("Packages are missing"),
    "free-space": gettext_noop("Too little free space"),
    "npus-on-bus": gettext_noop("NPUs are missing from the bus"),
    "npus-healthy": gettext_noop("No NPU driver yet"),
    "npus-healthy/driver": gettext_noop("The driver lists no NPU"),
    "npus-healthy/warn": gettext_noop("An NPU is not healthy"),
    "npu-missing": gettext_noop("An NPU that the job takes is not there"),
    "driver-firmware": gettext_noop("Driver and firmware do not match"),
    "driver-firmware/unknown": gettext_noop("Nobody knows whether driver and firmware match"),
    "driver-cann": gettext_noop("Driver and CANN do not match"),
    "driver-cann/unknown": gettext_noop("Nobody knows whether driver and CANN match"),
    "mindspore-cann": gettext_noop("MindSpore and CANN do not match"),
    "mindspore-cann/unknown": gettext_noop("Nobody knows whether MindSpore and CANN match"),
    "chip": gettext_noop("NPUs of the first generation under the name of Atlas A2"),
    "chip/unknown": gettext_noop("The generation of the NPUs is not known"),
    "package-chip": gettext_noop("The package is for another chip"),
    "package-chip/unknown": gettext_noop("Nobody knows whether the package is for this chip"),
    "image-chip": gettext_noop("The image is for another chip"),
    "image-chip/unknown": gettext_noop("Nobody knows for which chip the image is"),
    "image-driver": gettext_noop("The driver does not take the image’s CANN"),
    "image-driver/unknown": gettext_noop("Nobody knows whether the driver takes the image’s CANN"),
    "installed": gettext_noop("The same or a newer version is there"),
    "tools-missing": gettext_noop("Tools of the driver’s installer are missing"),
    "driver-user": gettext_noop("User HwHiAiUser is missing"),
    "cann-missing": gettext_noop("CANN is missing"),
    "docker-missing": gettext_noop("docker is missing"),
    "npu-held": gettext_noop("Somebody holds the NPUs"),
    "npu-held/unknown": gettext_noop("Who holds the NPUs is not known"),
    "npu-links": gettext_noop("A network port of an NPU is down"),
    "clock": gettext_noop("The clock is wrong"),
    "raid/unknown": gettext_noop("The RAID level is not known"),
    "management-nic/unknown": gettext_noop("The speed of the management link is not known"),
    "service-nic/unknown": gettext_noop("The speed of the service link is not known"),
    "raid": gettext_noop("No RAID5 of 2 TB"),
    "management-nic": gettext_noop("No fast management link"),
    "service-nic": gettext_noop("No fast service link"),
    "python": gettext_noop("No Python that MindSpore is for"),
    "bmc-missing": gettext_noop("No BMC is known"),
    "bmc-unconfirmed": gettext_noop("The BMC’s certificate is not confirmed"),
    "bmc-unread": gettext_noop("The BMC has not been read"),
    "bmc-fans": gettext_noop("The BMC does not let the fans be set"),
    "bmc-fans/warn": gettext_noop("The BMC allows less"),
}


def cause(check: Check) -> str:
    """What is wrong in a few words, in English; the reason for a code that has none."""
    own = check.values.get("case") or check.severity
    return CAUSES.get(f"{check.code}/{own}") or CAUSES.get(check.code) or check.reason
