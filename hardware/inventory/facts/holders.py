"""Who has which NPU: the open device nodes of ``/proc``, npu-smi's table of processes, and containers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hardware.inventory.facts.records import Container, Facts, Holder
from hardware.npu import Chip, Process

# They ask the driver and are gone again: a reading that meets them, or that asks itself, says nothing by it.
PASSING = ("npu-smi", "hccn_tool", "ascend-dmi")
_NODE = re.compile(r"/dev/davinci([0-9]{1,4})")


@dataclass
class _Seen:
    name: str = ""
    parents: tuple[int, ...] = ()
    container: str = ""


def node_of(chip: Chip, chips: Sequence[Chip]) -> int | None:
    """N of a chip's ``/dev/davinciN``: the id that the tool gives for it, or the number of a card that is one chip."""
    for number in (chip.logic_id, chip.phy_id):
        if number is not None:
            return number
    if all(not one.chip_id for one in chips) and all((one.npu_id or 0) < 64 for one in chips):
        return chip.npu_id
    # Cards with several chips, numbered through in the order in which they are listed.
    return next((place for place, one in enumerate(chips) if one is chip), None)


def read_holders(
    text: str, table: Iterable[Process], chips: Sequence[Chip], containers: Sequence[Container]
) -> tuple[Holder, ...]:
    """Processes by pid. One that has ended between two questions is left out where nothing tells its name."""
    npus: dict[int, set[int]] = {}
    seen: dict[int, _Seen] = {}
    own = ""
    for line in text.splitlines():
        words = line.split(" ", 4)
        if words[0] == "node" and len(words) > 2 and words[1].isdigit():
            node = _NODE.fullmatch(words[2])
            npus.setdefault(int(words[1][:10]), set()).update([int(node[1])] if node else [])
        elif words[0] == "machine" and len(words) > 1:
            own = words[1]
        elif words[0] == "process" and len(words) == 5 and words[1].isdigit():
            parents = tuple(int(one[:10]) for one in words[2].split(",") if one.isdigit())
            seen[int(words[1][:10])] = _Seen(words[4].strip(), parents, "" if words[3] == "-" else words[3])
    memory: dict[int, int] = {}
    names: dict[int, str] = {}
    for process in table:
        if process.pid is None:
            continue
        chip = next((c for c in chips if (c.npu_id, c.chip_id or 0) == (process.npu_id, process.chip_id or 0)), None)
        node_number = node_of(chip, chips) if chip else None
        npus.setdefault(process.pid, set()).update([] if node_number is None else [node_number])
        memory[process.pid] = memory.get(process.pid, 0) + (process.memory_mb or 0)
        names[process.pid] = process.name or ""
    found = []
    for pid in sorted(npus):
        about = seen.get(pid, _Seen())
        name = about.name or names.get(pid, "")
        if name and name not in PASSING:
            inside = _container(about, own, containers)
            found.append(Holder(pid, name, tuple(sorted(npus[pid])), inside, memory.get(pid)))
    return tuple(found)


def _container(about: _Seen, own: str, containers: Sequence[Container]) -> str | None:
    """By the id in the process's control group, or by its parents: one of them is what the container began with.

    A machine that is itself a container has its own id in every control group.
    """
    for container in containers:
        if (about.container and about.container.startswith(container.id)) or container.pid in about.parents:
            return container.name
    return about.container[:12] if about.container and about.container != own else None


def held(facts: Facts) -> dict[int, list[str]]:
    """N of ``/dev/davinciN`` -> who has it, in words without what changes from one start to the next.

    A container counts by having been given the NPU, whether or not a process of it uses it now.
    """
    found: dict[int, set[str]] = {}
    for container in facts.containers:
        for npu in container.npus:
            found.setdefault(npu, set()).add(f"container {container.name}")
    for holder in facts.holders:
        for npu in holder.npus:
            found.setdefault(npu, set()).add(f"container {holder.container}" if holder.container else holder.name)
    return {npu: sorted(names) for npu, names in sorted(found.items())}
