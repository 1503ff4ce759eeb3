"""What the pages say about checks and troubles, in the reader's language.

The pure rules speak English; here each of their codes has its sentence for translation. A code that is new since says
what the rule said.
"""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from hardware.inventory.facts import Facts
from hardware.inventory.preflight import Check, Mend

TB = 10**12


# code -> the cause in a few words, where machines are grouped by it
_CAUSES = {
    "architecture": gettext_lazy("Wrong architecture"),
    "kernel-headers": gettext_lazy("Kernel headers are missing"),
    "packages-missing": gettext_lazy("Packages are missing"),
    "free-space": gettext_lazy("Too little free space"),
    "npus-on-bus": gettext_lazy("NPUs are missing from the bus"),
    "driver-firmware": gettext_lazy("Driver and firmware do not match"),
    "cann-missing": gettext_lazy("CANN is missing"),
    "docker-missing": gettext_lazy("docker is missing"),
}


def cause(check: Check) -> str:
    """What is wrong, in a few words."""
    if check.code == "npus-healthy":
        return _("No NPU driver yet") if check.severity == "block" else _("An NPU is not healthy")
    return str(_CAUSES[check.code]) if check.code in _CAUSES else check.reason


def reason(check: Check, facts: Facts) -> str:
    """The sentence of a check, with the values it saw."""
    return _sentence(check, facts) or check.reason


def _sentence(check: Check, facts: Facts) -> str:
    case = (check.code, check.severity)
    values = check.values
    kernel, architecture = facts.kernel or "?", facts.architecture or "?"
    if case == ("architecture", "pass"):
        return _("The architecture is %(architecture)s.") % {"architecture": architecture}
    if case == ("architecture", "block"):
        return _("The packages are for aarch64; the machine is %(architecture)s.") % {"architecture": architecture}
    if case == ("system", "pass"):
        return _("%(system)s, kernel %(kernel)s.") % {"system": facts.os_name, "kernel": kernel}
    if case == ("system", "warn"):
        return _("%(system)s is not Kylin V10; nobody has tried it.") % {"system": facts.os_name or _("The system")}
    if case == ("kernel-headers", "pass"):
        return _("Kernel %(kernel)s has matching headers.") % {"kernel": kernel}
    if case == ("kernel-headers", "block"):
        return _("The headers of kernel %(kernel)s are missing; dkms can’t build the driver without them.") % {
            "kernel": kernel
        }
    if case == ("packages-missing", "block"):
        return _("Missing packages: %(names)s.") % {"names": ", ".join(values["packages"])}
    if case == ("packages-missing", "pass"):
        return _("The packages that a driver is built with are installed.")
    return _npus(check, facts) or _parts(check, facts)


def _npus(check: Check, facts: Facts) -> str:
    case = (check.code, check.severity)
    on_bus, listed = len(facts.pci_npus), len(facts.npus)
    if case == ("npus-on-bus", "pass"):
        return ngettext("%(n)s NPU is on the PCI bus.", "%(n)s NPUs are on the PCI bus.", on_bus) % {"n": on_bus}
    if case == ("npus-on-bus", "block"):
        if not on_bus:
            return _("No Ascend NPU is on the PCI bus.")
        return _("PCI lists %(pci)s NPUs, npu-smi %(listed)s.") % {"pci": on_bus, "listed": listed}
    if case == ("npus-healthy", "pass"):
        return ngettext("%(n)s NPU listed, healthy.", "%(n)s NPUs listed, all healthy.", listed) % {"n": listed}
    if case == ("npus-healthy", "block"):
        return _("npu-smi lists no NPU (%(why)s).") % {"why": facts.npu_error or _("no reason given")}
    if case == ("npus-healthy", "warn"):
        ill = ", ".join(f"NPU {npu.npu_id} {npu.health}" for npu in facts.npus if npu.health != "OK")
        return _("Not healthy: %(ill)s.") % {"ill": ill}
    return ""


def _parts(check: Check, facts: Facts) -> str:
    case = (check.code, check.severity)
    if check.code == "driver-firmware" and facts.driver and facts.firmware:
        pair: dict[str, Any] = {"driver": facts.driver.version, "firmware": facts.firmware.version}
        ranges = ", ".join(f"{low} – {high}" for low, high in facts.driver.ranges)
        if check.severity == "pass":
            return _("Firmware %(firmware)s is in the range of driver %(driver)s.") % pair
        if check.severity == "block":
            return _("Firmware %(firmware)s is outside the range of driver %(driver)s (%(ranges)s).") % {
                **pair, "ranges": ranges,
            }  # fmt: skip
        return _("Unknown: driver %(driver)s names no firmware range.") % pair
    array = next((r for r in facts.raids if r.level == "raid5" and r.size >= 2 * TB), None)
    if check.code == "raid":
        if array is None:
            return _("No RAID5 array of 2 TB or more was found.")
        if check.severity == "warn":
            return _("%(array)s (RAID5) has a missing member.") % {"array": array.name}
        return _("%(array)s: RAID5, %(size)s TB.") % {"array": array.name, "size": f"{array.size / TB:.1f}"}
    if check.code in ("management-nic", "service-nic"):
        speed = {"speed": 1 if check.code == "management-nic" else 25}
        if check.severity == "pass":
            return _("A link of %(speed)s Gbit/s or more is up.") % speed
        return _("No link of %(speed)s Gbit/s is up.") % speed
    return {
        ("cann-missing", "block"): _("CANN is not installed, so there is no atc."),
        ("docker-missing", "block"): _("docker is not installed."),
    }.get(case, "")


def button(mend: Mend) -> str:
    """The words on the button of a mend."""
    if mend.kind == "install-driver":
        return _("Install driver and firmware")
    if mend.kind == "install-cann":
        return _("Install CANN")
    if mend.kind == "install-os-packages":
        names = mend.params.get("packages", [])
        if names == ["kernel-devel"]:
            return _("Install kernel headers")
        return _("Install %(names)s") % {"names": ", ".join(names)}
    return mend.label


# code -> (what happened, what to do). The cause with the machine's name and the address stays as it was recorded.
_TROUBLES = {
    "ssh-unreachable": (
        gettext_lazy("Nothing answers at the address"),
        gettext_lazy("Check the machine’s power, its management network and the address, then probe it again."),
    ),
    "ssh-link-lost": (
        gettext_lazy("The link was cut"),
        gettext_lazy(
            "Check the network to the machine. What runs there goes on; its log follows when the link is back."
        ),
    ),
    "ssh-auth-refused": (
        gettext_lazy("Login refused"),
        gettext_lazy("Correct the user name, password or key in the machine’s credential, then probe it again."),
    ),
    "ssh-host-key-not-pinned": (
        gettext_lazy("The fingerprint is not confirmed"),
        gettext_lazy("Compare the fingerprint with the one on the machine’s own screen, then confirm it."),
    ),
    "ssh-host-key-changed": (
        gettext_lazy("The host key changed"),
        gettext_lazy("Find out why: a new installation, or someone in between. Then confirm the new fingerprint."),
    ),
    "ssh-no-shell": (
        gettext_lazy("No working shell"),
        gettext_lazy("Give the user a login shell that runs /bin/sh, and see that /bin/sh exists on the machine."),
    ),
    "command-timeout": (
        gettext_lazy("A command took too long"),
        gettext_lazy("Look at the machine’s load, then try again."),
    ),
    "disk-full": (
        gettext_lazy("The disk is full"),
        gettext_lazy("Free space on that file system, then run the job again; it goes on where it stopped."),
    ),
}


def trouble_title(code: str) -> str:
    """What happened, in a few words."""
    return str(_TROUBLES[code][0]) if code in _TROUBLES else _("The last contact failed")


def trouble_mend(code: str, recorded: str) -> str:
    """What to do; ``recorded`` is what was stored with the trouble."""
    return str(_TROUBLES[code][1]) if code in _TROUBLES else recorded
