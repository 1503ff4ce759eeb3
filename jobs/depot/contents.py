"""What the depot's packages and images are, as the parts that preflight judges."""

from __future__ import annotations

import re
from typing import Any

from hardware.inventory.preflight import Image, Part
from hardware.inventory.preflight.parts import chip_of
from hardware.npu.versions import Range, ranges
from jobs.kind import ArtifactRef, DepotView

PACKAGES = ("driver", "firmware", "cann", "mindspore")
# What a package says of its counterparts: the field of its version.info -> the counterpart, by what the package is.
_LISTS = {
    "driver": (("compatible_version_fw", "firmware"), ("compatible_version", "cann")),
    "firmware": (("compatible_version_drv", "driver"),),
    "cann": (("compatible_version", "driver"),),
}
# Images whose names say version and chip: quay.io/ascend/vllm-ascend:v0.11.0-a3.
_VLLM = re.compile(r"(?:^|/)vllm-ascend:v?(?P<version>\d[\w.]*?)(?:-(?P<chip>a3|310p|a2))?(?:-openeuler\w*)?$", re.I)
_MINDIE = re.compile(r"(?:^|/)mindie:(?P<version>\d[\w.]*?)(?:-(?P<chip>800I-A2|800I-A3|300I(?:-Duo)?))?(?:-|$)", re.I)


def part_of(artifact: ArtifactRef) -> Part:
    """A package as a part; what it says of its counterparts was read when it was ingested."""
    said: dict[str, Any] = artifact.meta.get("version_info") or {}
    lists: list[tuple[str, tuple[Range, ...]]] = []
    for field, counterpart in _LISTS.get(artifact.type, ()):
        if said.get(field):
            lists.append((counterpart, ranges(str(said[field]))))
    return Part(
        what=artifact.type,
        version=artifact.version,
        ranges=tuple(lists),
        inner_version=said.get("innerversion"),
        release=said.get("package_version") or (artifact.version if artifact.type == "driver" else None),
        name=artifact.name,
        artifact=artifact.id,
        architecture=str(artifact.meta.get("architecture", "")),
        chip=chip_of(str(artifact.meta.get("chip", ""))),
    )


def parts(depot: DepotView) -> tuple[Part, ...]:
    """Every package that could be installed on a machine."""
    return tuple(part_of(artifact) for type in PACKAGES for artifact in depot.find(type))


def image_of(artifact: ArtifactRef) -> Image:
    """What is inside, by its ``meta`` (``cann``, ``engine``: ``{"mindie": "1.0.0"}``, ``chips``), else by its name."""
    meta, reference = artifact.meta, str(artifact.meta.get("image", ""))
    found: dict[str, str] = {name: str(version) for name, version in (meta.get("engine") or {}).items()}
    chips = [str(chip) for chip in meta.get("chips") or ()]
    for engine, pattern, usual in (("vllm-ascend", _VLLM, "910B"), ("mindie", _MINDIE, "")):
        named = pattern.search(reference)
        if named is not None:
            found.setdefault(engine, named["version"])
            chip = chip_of(named["chip"]) if named["chip"] else usual
            chips = chips or [chip] if chip else chips
    if meta.get("cann"):
        found["cann"] = str(meta["cann"])
    return Image(
        name=reference or artifact.name,
        parts=tuple(Part(what, version, name=_SPELT.get(what, what)) for what, version in found.items()),
        chips=tuple(chips),
        soc=str(meta.get("soc_version", "")),
    )


_SPELT = {"vllm-ascend": "vLLM-Ascend", "mindie": "MindIE", "cann": "CANN"}
