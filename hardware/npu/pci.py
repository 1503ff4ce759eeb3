"""Ascend NPUs on the PCI bus (``lspci``) and as device nodes (``ls -l /dev/davinci*``), and which chip they are.

``npu-smi`` calls a first-generation Ascend 910B and an Atlas A2's 910B alike; their PCI device ids differ, and nothing
else is sure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hardware.npu.text import lines

# By PCI device id, vendor 19e5.
GENERATIONS = {"d100": "310", "d500": "310P", "d801": "910", "d802": "910B", "d803": "A3", "d806": "950"}

_SLOT = r"(?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f]"
_LINE = re.compile(
    rf"^[#>\s]*({_SLOT})\s+(?:\"?(?:Class\s)?(?:1200|Processing accelerators)(?:\s*\[1200\])?\"?:?|1200:)\s*(.*)$", re.I
)
_IDS = re.compile(r"\b19e5:([0-9a-f]{4})\b", re.I)
_DEVICE = re.compile(r"\bDevice\s+\[?([0-9a-f]{4})\b", re.I)
_OURS = re.compile(r"19e5:|Huawei", re.I)
_REVISION = re.compile(r"\(rev ([0-9a-f]{2})\)", re.I)
_NODE = re.compile(
    r"^[#>\s]*(?:(?P<mode>[bc][-rwxsStT]{9})[.+@]?\s+\d+\s+(?P<owner>\S+)\s+(?P<group>\S+)\s+"
    r"(?P<major>\d+),\s*(?P<minor>\d+)\s+.*?)?(?P<path>/dev/(?:davinci(?P<number>\d+)|davinci_manager\w*|devmm_svm|hisi_hdc))\s*$"
)


@dataclass(frozen=True)
class PciNpu:
    """``slot`` in lower case as lspci prints it; ``device`` is ``d802`` or ``None`` where only a name is printed."""

    slot: str
    device: str | None
    revision: str | None = None

    @property
    def generation(self) -> str | None:
        return GENERATIONS.get(self.device or "")


@dataclass(frozen=True)
class Node:
    """A device node. ``number`` is the logic id of ``/dev/davinciN``; the rest is ``None`` in a list of bare names."""

    path: str
    number: int | None = None
    mode: str | None = None
    owner: str | None = None
    group: str | None = None
    major: int | None = None
    minor: int | None = None


def generation(name: str | None, device: str | None = None) -> str | None:
    """``310``, ``310B``, ``310P``, ``910`` (the first), ``910B`` (Atlas A2), ``A3`` or ``950``; ``None`` if unsure.

    ``name`` as npu-smi prints it; ``device`` is the PCI device id (``d802``, ``0xD802``), which counts for more.
    """
    known = GENERATIONS.get((device or "").strip().lower().removeprefix("19e5:").removeprefix("0x"))
    if known is not None:
        return known
    short = re.sub(r"^ascend[\s_-]*", "", (name or "").strip(), flags=re.I).upper()
    if re.fullmatch(r"910_93\d\d", short):
        return "A3"
    if re.match(r"950", short):
        return "950"
    if short == "MINID":
        # So ``info -m`` calls every 310.
        return "310"
    for family in ("310P", "310B", "310"):
        if re.fullmatch(rf"{family}\d*", short):
            return family
    if re.fullmatch(r"910B\d.*", short):
        return "910B"
    # Plain 910B is either generation, plain 910 the first or an A3.
    return "910" if re.fullmatch(r"910(?:A|PRO ?[AB]|PREMIUM ?A)", short) else None


def short_slot(slot: str) -> str:
    """A bus address without its domain 0000, in lower case: what ``npu-smi`` and ``lspci`` agree on."""
    return re.sub(r"^0+:(?=..:)", "", slot.lower())


def read_lspci(text: str | bytes) -> tuple[PciNpu, ...]:
    """The Ascend NPUs among what ``lspci`` (plain, ``-n``, ``-nn`` or ``-D``) lists."""
    found = []
    for line in lines(text):
        match = _LINE.match(line)
        if match is None or not _OURS.search(match[2]):
            continue
        device = _IDS.search(match[2]) or _DEVICE.search(match[2])
        # The compression engine of a Kunpeng is an accelerator of the same vendor.
        if device is None and not re.search(r"Ascend|Davinci", match[2], re.I):
            continue
        if device is not None and not device[1].lower().startswith("d"):
            continue
        revision = _REVISION.search(match[2])
        found.append(PciNpu(match[1].lower(), device[1].lower() if device else None, revision[1] if revision else None))
    return tuple(found)


def read_nodes(text: str | bytes) -> tuple[Node, ...]:
    """Ascend's device nodes in what ``ls`` or ``ls -l`` printed of /dev, one or several to a line."""
    found = []
    for line in lines(text):
        for part in [line] if re.match(r"[#>\s]*[bc][-rwx]", line) else line.split():
            match = _NODE.match(part)
            if match:
                number, major, minor = (int(match[key]) if match[key] else None for key in ("number", "major", "minor"))
                node = Node(match["path"], number, match["mode"], match["owner"], match["group"], major, minor)
                found.append(node)
    return tuple(found)
