"""Lines of ``label : value``, and which question of npu-smi they answer."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_LABEL = re.compile(r"[A-Za-z_][^:|=]{0,59}")
# What ``info -t proc-mem`` says of a chip that nobody uses, in the place of its processes.
_IDLE = re.compile(r"No process in device\b", re.I)
IDLE = "noprocessindevice"

# Which question an output answers, by a label that only this answer has.
_TYPES: tuple[tuple[str, str], ...] = (
    ("info -l", r"totalcount|cardcount"),
    ("info -t proc-mem", IDLE),
    ("info -t phyid-remap", r"chipphysicalid|chipphy-?id"),
    ("info -t board", r"boardid|softwareversion|pcideviceid"),
    ("info -t common", r"aicore(?:cur)?freq\(mhz\)|aicorecount|ratedpowerdissipation\(w\).* temperature\(c\)"),
    ("info -t usages", r"(?:ai|ctrl)cpuusagerate|(?:ddr|memory)capacity.* \w*usagerate"),
    ("info -t memory", r"(?:ddr|hbm)?clockspeed\(mhz\)"),
    ("info -t flash", r"flash(?:count|id)"),
    ("info -t ecc-enable", r"\w*ecc-enablestatus"),
    ("info -t ecc", r"(?:ddr|hbm)?(?:single|double)-?bit(?:error|aggregate|isolated|next)"),
    ("info -t current-fault-event", r"faultevent(?:count|information)"),
    ("info -t health", r"health(?:status)?(?!\S)"),
    ("info -t sensors", r"(?:socmax|sfp|ndie)temperature"),
    ("info -t volt", r"voltage\(v\)"),
    ("info -t product", r"producttype"),
    ("info -t sys-time", r"systemtime\(local\)"),
    ("info -t work-mode", r"npuid work-?mode"),
    ("info -t pcie-err", r"(?:dl|pcsrx|phylane|tx|rx)(?:lcrc|dcrc)?errorcount"),
    ("info -t common", r"aicoreusagerate\(%\).* temperature\(c\)"),
    ("info -t temp", r"(?:npu)?temperature\(c\)|\w*lm75\w*\(c\)|t_core_m\(c\)"),
    ("info -t power", r"(?:rated)?powerdissipation\(w\)|npureal-timepower\(w\)"),
)
_KNOWN_TYPES = tuple((name, re.compile(rf"(?<!\S)(?:{pattern})")) for name, pattern in _TYPES)
# A longer paste says nothing new about what it is.
_ENOUGH = 4000
_DEEDS = re.compile(r"^(?:status|message|validity|transfile|version)(?: |$)")


class Item(NamedTuple):
    """``label`` as printed; empty where a line only goes on with the value of the one before it. ``key`` is the label
    in lower case without blanks.
    """

    label: str
    value: str
    text: str
    key: str


def item(line: str) -> Item | None:
    """A line without indentation as label and value, if it is one."""
    label, colon, value = line.partition(":")
    label = label.rstrip()
    if not colon and _IDLE.match(line):
        return Item(label, "", line, IDLE)
    if not colon or (label and not _LABEL.fullmatch(label)):
        return None
    return Item(label, value.strip(), line, "".join(label.lower().split()))


def kind(items: Iterable[Item]) -> str | None:
    """The command that prints these labels; ``None`` if none is known to."""
    labels = " ".join(one.key for one in items)[:_ENOUGH]
    for name, pattern in _KNOWN_TYPES:
        if pattern.search(labels):
            return f"npu-smi {name}"
    if re.search(r"\bnpuid\b", labels):
        return "npu-smi info"
    if _DEEDS.match(labels):
        text = " ".join(one.value for one in items)
        done = re.search(r"Set chip ([\w-]+)", text)
        if done:
            return f"npu-smi set -t {done[1]}"
        if re.search(r"reset", text, re.I):
            return "npu-smi set -t reset"
        return (
            "npu-smi upgrade"
            if re.search(r"upgrade|active|version|validity|transfile", labels + text)
            else "npu-smi set"
        )
    return None
