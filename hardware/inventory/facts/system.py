"""Which system a machine runs: ``/etc/os-release`` and ``/etc/kylin-release``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hardware.npu.versions import assignments

# Kylin V10's service packs all say VERSION_ID=V10; the codename tells them apart, and else the kernel.
SERVICE_PACKS = {"tercel": "SP1", "sword": "SP2", "lance": "SP3"}
_KERNELS = {"4.19.90-24.": "SP2", "4.19.90-52.": "SP3", "4.19.90-89.": "SP3"}
_RELEASE = re.compile(r"^([A-Z][\w .()-]*?) release (\S+)(?: \(([^)]+)\))?", re.M | re.I)
_PACK = re.compile(r"\bSP\d\b")


@dataclass(frozen=True)
class Release:
    """``id`` is that of os-release in lower case: ``kylin``, ``openeuler``, ``ubuntu``."""

    id: str | None = None
    name: str | None = None
    version_id: str | None = None
    codename: str | None = None
    service_pack: str | None = None


def read_release(text: str, kernel: str | None = None) -> Release:
    """The release from os-release, kylin-release, or both one after the other. ``kernel`` as ``uname -r`` says it."""
    said = assignments(text)
    line = _RELEASE.search(text)
    name = said.get("pretty_name") or (line[0].strip() if line else None)
    words = f"{said.get('version', '')} {said.get('pretty_name', '')} {line[0] if line else ''}"
    codename = re.search(r"\(([A-Za-z][\w ]*)\)", words)
    system = said.get("id", "").lower() or ("kylin" if name and name.lower().startswith("kylin") else None)
    return Release(
        id=system,
        name=name,
        version_id=said.get("version_id") or (line[2] if line else None),
        codename=codename[1] if codename else None,
        service_pack=_service_pack(codename[1] if codename else "", words, kernel or "") if system == "kylin" else None,
    )


def _service_pack(codename: str, words: str, kernel: str) -> str | None:
    said = _PACK.search(words)
    if codename.lower() in SERVICE_PACKS:
        return SERVICE_PACKS[codename.lower()]
    if said:
        return said[0]
    return None if codename else next((pack for start, pack in _KERNELS.items() if kernel.startswith(start)), None)
