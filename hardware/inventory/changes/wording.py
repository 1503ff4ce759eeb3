"""What a fact is called where a change of it is told. A path that nobody has named is shown as it is."""

from __future__ import annotations

import re
from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from hardware.inventory import wording

# A path, what it is called, and the unit of its value: bytes, mbps or mib.
_FACTS: tuple[tuple[re.Pattern[str], str, str], ...] = tuple(
    (re.compile(pattern), words, unit)
    for pattern, words, unit in (
        (r"hostname", _("Host name"), ""),
        (r"boot_id", _("Boot: the machine was restarted"), ""),
        (r"architecture", _("Architecture"), ""),
        (r"kernel", _("Kernel"), ""),
        (r"kernel_headers", _("Headers of the running kernel"), ""),
        (r"os_name|os_id", _("System"), ""),
        (r"service_pack", _("Service pack"), ""),
        (r"cpu\.model", _("CPU model"), ""),
        (r"cpu\.(?P<what>\w+)", _("CPU, %(what)s"), ""),
        (r"memory_total", _("Memory"), "bytes"),
        (r"filesystems\.(?P<name>.+)\.size", _("Size of file system %(name)s"), "bytes"),
        (r"disks\.(?P<name>[^.]+)\.size", _("Drive %(name)s: size"), "bytes"),
        (r"disks\.(?P<name>[^.]+)\.model", _("Drive %(name)s: model"), ""),
        (r"disks\.(?P<name>[^.]+)\.transport", _("Drive %(name)s: connection"), ""),
        (r"disks\.(?P<name>[^.]+)\.rotates", _("Drive %(name)s: rotates"), ""),
        (r"raids\.(?P<name>[^.]+)\.size", _("RAID %(name)s: size"), "bytes"),
        (r"raids\.(?P<name>[^.]+)\.level", _("RAID %(name)s: level"), ""),
        (r"raids\.(?P<name>[^.]+)\.healthy", _("RAID %(name)s: every member is there"), ""),
        (r"raids\.(?P<name>[^.]+)\.members", _("RAID %(name)s: members"), ""),
        (r"raids\.(?P<name>[^.]+)\.failed", _("RAID %(name)s: members that failed"), ""),
        (r"raids\.(?P<name>[^.]+)\.rebuilding", _("RAID %(name)s: is being rebuilt"), ""),
        (r"raid_controllers", _("RAID controllers"), ""),
        (r"nics\.(?P<name>.+)\.up", _("Network interface %(name)s: up"), ""),
        (r"nics\.(?P<name>.+)\.speed_mbps", _("Network interface %(name)s: speed"), "mbps"),
        (r"nics\.(?P<name>.+)\.addresses", _("Network interface %(name)s: addresses"), ""),
        (r"pci_npus", _("NPUs on the PCI bus"), ""),
        (r"davinci_nodes", _("Device nodes of the NPU driver"), ""),
        (r"npus\.(?P<name>[^.]+)\.health", _("NPU %(name)s: health"), ""),
        (r"npus\.(?P<name>[^.]+)\.hbm_total_mb", _("NPU %(name)s: HBM"), "mib"),
        (r"npus\.(?P<name>[^.]+)\.name", _("NPU %(name)s: chip"), ""),
        (r"npus\.(?P<name>[^.]+)\.bus_id", _("NPU %(name)s: PCI slot"), ""),
        (r"npus\.(?P<name>[^.]+)\.generation", _("NPU %(name)s: generation"), ""),
        (r"npu_error", _("What npu-smi refuses with"), ""),
        (r"topology\.links\.(?P<one>[^.]+)\.(?P<other>[^.]+)", _("Way from %(one)s to %(other)s"), ""),
        (r"topology\.cpus\.(?P<name>[^.]+)", _("Processors near %(name)s"), ""),
        (r"npu_ports\.(?P<name>[^.]+)\.link", _("Network port of NPU %(name)s: link"), ""),
        (r"npu_ports\.(?P<name>[^.]+)\.address", _("Network port of NPU %(name)s: address"), ""),
        (r"npu_ports\.(?P<name>[^.]+)\.netmask", _("Network port of NPU %(name)s: netmask"), ""),
        (r"npu_ports\.(?P<name>[^.]+)\.gateway", _("Network port of NPU %(name)s: gateway"), ""),
        (r"holders\.(?P<name>[^.]+)", _("Who holds NPU %(name)s"), ""),
        (r"containers\.(?P<name>.+)\.image", _("Container %(name)s: image"), ""),
        (r"containers\.(?P<name>.+)\.npus", _("Container %(name)s: NPUs"), ""),
        (r"containers\.(?P<name>.+)\.privileged", _("Container %(name)s: privileged"), ""),
        (r"runtimes\.(?P<name>.+)", _("Container runtime: %(name)s"), ""),
        (r"docker", _("docker"), ""),
        (r"driver\.version|driver", _("NPU driver"), ""),
        (r"driver\.ranges", _("Firmware that the driver takes"), ""),
        (r"firmware\.version|firmware", _("NPU firmware"), ""),
        (r"firmware\.ranges", _("Drivers that the firmware takes"), ""),
        (r"cann\.version|cann", "CANN", ""),
        (r"mindspore\.version|mindspore", "MindSpore", ""),
        (r"mindspore\.python", _("Python of MindSpore"), ""),
        (r"converter_lite", _("Converter of MindSpore Lite"), ""),
        (r"python_packages\.(?P<name>.+)", _("Python package %(name)s"), ""),
        (r"pythons\.(?P<name>.+)", _("Interpreter %(name)s"), ""),
        (r"packages\.(?P<name>.+)", _("Package %(name)s"), ""),
        (r"hwhiaiuser", _("User HwHiAiUser"), ""),
        (r"clock_skew_s", _("Clock against the console’s"), ""),
        (r"simulated", _("Simulated"), ""),
        (r"warnings", _("Warnings of the probe"), ""),
    )
)

# What a comparison makes of the clock.
_CLOCK = (
    _("in step"), _("ahead by seconds"), _("ahead by minutes"), _("ahead by hours"),
    _("behind by seconds"), _("behind by minutes"), _("behind by hours"),
)  # fmt: skip


def fact(path: str) -> tuple[str, str]:
    """What the fact at a path is called, and the unit of its values: ``bytes``, ``mbps``, ``mib``, or none."""
    for pattern, words, unit in _FACTS:
        found = pattern.fullmatch(path)
        if found:
            return gettext(words) % found.groupdict(), unit
    return path, ""


def value(path: str, said: Any) -> Any:
    """A value for the page: a number where the fact has a unit, else words. ``None`` stays what was not there."""
    if said is None or (fact(path)[1] and isinstance(said, int)):
        return said
    if path == "clock_skew_s":
        return gettext(said) if said in _CLOCK else said
    if path.startswith("holders.") and isinstance(said, list):
        return ", ".join(_holder(one) for one in said)
    return wording.value(said)


def _holder(name: str) -> str:
    kind, _, rest = name.partition(" ")
    return gettext("container %(name)s") % {"name": rest} if kind == "container" and rest else name
