"""``df`` in its layouts, drives as ``lsblk`` lists them, RAID arrays in ``/proc/mdstat`` and controllers on the bus."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace

from hardware.inventory.facts.records import Disk, Filesystem, Raid

_UNITS = {unit: 1024**power for power, unit in enumerate(("", "K", "M", "G", "T", "P", "E"))}
# A locale may write the fraction after a comma.
_SIZE = re.compile(r"([0-9]{1,18})(?:[.,]([0-9]{1,3}))?([KMGTPE]?)i?B?", re.I)
_PERCENT = re.compile(r"[0-9]{1,3}%|-")
_BLOCK = re.compile(r"([0-9]+)([KMGB]?)i?B?-(?:blocks|块)", re.I)
_ARRAY = re.compile(r"^(md\S+) : (active|inactive)((?: \([\w-]+\))*)(.*)$")
_MEMBER = re.compile(r"([\w!-]+)\[[0-9]+\]((?:\([A-Z]\))*)")
_BLOCKS = re.compile(r"^\s+([0-9]{1,18}) blocks\b(.*)$")
_COLUMN = re.compile(r'([A-Z]+)="([^"]*)"')
_CONTROLLER = re.compile(r"^\S+ RAID bus controller(?: \[0104\])?: (.+?)(?: \(rev \w+\))?$", re.M)


def read_df(text: str) -> tuple[Filesystem, ...]:
    """File systems by mount, sizes in bytes whatever the block size. A long device name may have a line of its own.

    What ``df -i`` says is of inodes, and nothing is read of it.
    """
    found: dict[str, Filesystem] = {}
    block, pending, inodes = 1024, "", False
    for line in unicodedata.normalize("NFKC", text).splitlines():
        if re.match(r"Filesystem\b|文件系统", line):
            block, pending, inodes = _block(line), "", bool(re.search("inode", line, re.I))
            continue
        if inodes or line.startswith("df:"):
            continue
        row = _row(f"{pending} {line}" if pending else line)
        pending = line.strip() if row is None and len(line.split()) == 1 else ""
        if row is None:
            continue
        total, free = _bytes(row[0], block), _bytes(row[1], block)
        if total is not None and free is not None:
            found[row[2]] = Filesystem(row[2], total, free)
    return tuple(found.values())


def _row(line: str) -> tuple[str, str, str] | None:
    """Size, free space and mount: what stands before the percentage and after it."""
    words = line.split(None, 8)
    for place in range(3, len(words) - 1):
        if _PERCENT.fullmatch(words[place]) and words[place + 1].startswith("/"):
            return words[place - 3], words[place - 1], line.split(None, place + 1)[place + 1].strip()
    return None


def _block(head: str) -> int:
    found = _BLOCK.search(head)
    if found is None:
        return 1024
    return int(found[1][:9]) * _UNITS.get(found[2].upper().replace("B", ""), 1)


def _bytes(word: str, block: int) -> int | None:
    found = _SIZE.fullmatch(word)
    if found is None:
        return None
    if not found[3] and not found[2]:
        # ``df -h`` prints a bare 0, too, and nothing else without a unit.
        return int(found[1]) * block
    return int(float(f"{found[1]}.{found[2] or 0}") * _UNITS[found[3].upper()])


def read_mdstat(text: str) -> tuple[Raid, ...]:
    """Arrays in order. One that is not active has no size there and may have no level."""
    found: list[Raid] = []
    for line in text.splitlines():
        head, blocks = _ARRAY.match(line), _BLOCKS.match(line)
        if head:
            words = head[4].split()
            level = words[0] if words and "[" not in words[0] else ""
            members = _MEMBER.findall(head[4])
            failed = tuple(name for name, flags in members if "(F)" in flags)
            names = tuple(sorted(name for name, _ in members))
            found.append(Raid(head[1], level, 0, head[2] == "active" and not failed, names, failed))
        elif blocks and found:
            last = found[-1]
            whole = last.healthy and "_" not in blocks[2].rsplit("[", 1)[-1]
            found[-1] = replace(last, size=int(blocks[1]) * 1024, healthy=whole)
        elif found and re.search(r"\b(?:recovery|reshape|resync) *=", line):
            found[-1] = replace(found[-1], rebuilding=True)
    return tuple(found)


def read_lsblk(text: str) -> tuple[Disk, ...]:
    """Whole drives by name, from ``lsblk -b -d -P``; a tool that has no such column leaves it unknown."""
    found = []
    for line in text.splitlines():
        said = {name: value.strip() for name, value in _COLUMN.findall(line)}
        if said.get("TYPE") != "disk" or not said.get("NAME") or said["NAME"].startswith(("zram", "nbd")):
            continue
        size, model = said.get("SIZE", ""), f"{said.get('VENDOR', '')} {said.get('MODEL', '')}".strip()
        found.append(
            Disk(
                said["NAME"],
                int(size[:19]) if size.isdigit() else None,
                " ".join(model.split()) or None,
                said.get("TRAN") or ("nvme" if said["NAME"].startswith("nvme") else None),
                {"0": False, "1": True}.get(said.get("ROTA", "")),
            )
        )
    return tuple(sorted(found, key=lambda disk: disk.name))


def read_controllers(text: str) -> tuple[str, ...]:
    """RAID controllers, as ``lspci`` names them."""
    return tuple(_CONTROLLER.findall(text))
