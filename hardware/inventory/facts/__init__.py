"""What is read off a machine: ``PROBE`` is sent, ``read`` turns its output into ``Facts``. No Django here."""

from hardware.inventory.facts.probe import PROBE
from hardware.inventory.facts.reading import read
from hardware.inventory.facts.records import Cpu, Facts, Filesystem, Nic, Npu, Package, Raid

__all__ = ["PROBE", "Cpu", "Facts", "Filesystem", "Nic", "Npu", "Package", "Raid", "read"]
