"""Free space for each folder that a job writes to."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import PurePosixPath

from hardware.inventory.facts import Facts, Filesystem
from hardware.inventory.preflight.records import GIB, Check, Need, gettext_noop, say


def holding(facts: Facts, folder: str) -> Filesystem | None:
    """The file system that the folder lies on."""
    above = [one for one in facts.filesystems if _above(one.mount, folder)]
    return max(above, key=lambda one: len(one.mount), default=None)


@lru_cache(4096)
def _above(mount: str, folder: str) -> bool:
    return PurePosixPath(folder).is_relative_to(mount)


def free_space(facts: Facts, need: Need) -> Iterator[Check]:
    """Folders that share a file system share its space: what they want is added up."""
    wanted: dict[str, int] = {}
    folders: dict[str, list[str]] = {}
    for folder, size in need.free.items():
        there = holding(facts, folder)
        if there is None:
            sentence = gettext_noop("The free space of %(folder)s is not known.")
            yield say("free-space", "unknown", sentence, folder=folder, wanted=size)
            continue
        wanted[there.mount] = wanted.get(there.mount, 0) + size
        folders.setdefault(there.mount, []).append(folder)
    free = {one.mount: one.free for one in facts.filesystems}
    for mount, size in wanted.items():
        values = {
            "folder": ", ".join(folders[mount]), "mount": mount, "free": free[mount], "wanted": size,
            "free_gib": f"{free[mount] / GIB:.1f}", "wanted_gib": f"{size / GIB:.1f}",
        }  # fmt: skip
        if free[mount] < size:
            sentence = gettext_noop("%(free_gib)s GiB free for %(folder)s; the job needs %(wanted_gib)s GiB.")
            yield say("free-space", "block", sentence, **values)
        else:
            yield say("free-space", "pass", gettext_noop("%(free_gib)s GiB free for %(folder)s."), **values)
