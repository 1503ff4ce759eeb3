"""What is on a machine, as the parts that compatibility is judged of."""

from __future__ import annotations

from hardware.inventory.facts import Facts
from hardware.inventory.facts.records import Package
from hardware.inventory.preflight.records import Part
from hardware.npu import pci

# As the names of packages and images write a chip -> its generation.
_CHIPS = {
    "910": "910", "910a": "910", "a800-9000": "910", "a800-9010": "910", "a300t-9000": "910", "910b": "910B",
    "a2": "910B", "800i-a2": "910B", "910_93": "A3", "a3": "A3", "800i-a3": "A3", "310": "310", "310b": "310B",
    "310p": "310P", "300i": "310P", "300i-duo": "310P", "950": "950",
}  # fmt: skip


def chip_of(written: str) -> str:
    """The generation that a package's or an image's name means; empty for one that is not known."""
    return _CHIPS.get(written.strip().lower(), "")


def generations(facts: Facts) -> set[str | None]:
    """Of the machine's NPUs, by PCI id before name; ``None`` among them where one can't be told."""
    if facts.npus:
        return {npu.generation for npu in facts.npus}
    return {pci.generation(None, device) for _slot, device in facts.pci_npus}


def installed(facts: Facts) -> dict[str, Part]:
    """What is there, by name."""
    found = {}
    if facts.driver is not None:
        there = facts.driver
        lists = (("firmware", there.ranges), ("cann", there.generations))
        found["driver"] = _part("driver", there, lists, there.release or there.version)
    if facts.firmware is not None:
        found["firmware"] = _part("firmware", facts.firmware, (("driver", facts.firmware.ranges),))
    if facts.cann is not None:
        found["cann"] = _part("cann", facts.cann, (("driver", facts.cann.ranges),))
    if facts.mindspore is not None:
        found["mindspore"] = Part("mindspore", facts.mindspore.version)
    return found


def _part(
    what: str, package: Package, ranges: tuple[tuple[str, tuple[tuple[str, str], ...]], ...], release: str | None = None
) -> Part:
    return Part(what, package.version, ranges, package.inner_version, release or package.release)
