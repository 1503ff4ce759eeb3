"""What is read off a machine: ``PROBE`` is sent, ``read`` turns its output into ``Facts``. No Django here.

``LOOK`` asks only who holds which NPU, and ``read_held`` reads that.
"""

from hardware.inventory.facts.holders import held
from hardware.inventory.facts.probe import LOOK, PROBE
from hardware.inventory.facts.reading import read, read_held
from hardware.inventory.facts.records import (
    Container,
    Cpu,
    Disk,
    Facts,
    Filesystem,
    Holder,
    MindSpore,
    Nic,
    Npu,
    NpuPort,
    Package,
    Raid,
    Topology,
)

__all__ = [
    "LOOK",
    "PROBE",
    "Container",
    "Cpu",
    "Disk",
    "Facts",
    "Filesystem",
    "Holder",
    "MindSpore",
    "Nic",
    "Npu",
    "NpuPort",
    "Package",
    "Raid",
    "Topology",
    "held",
    "read",
    "read_held",
]
