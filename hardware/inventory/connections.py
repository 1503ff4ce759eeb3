"""Who holds each NPU of a machine and how it is connected: what the Machine page's table shows, row by row."""

from __future__ import annotations

from dataclasses import dataclass, field

from hardware.inventory.facts import Container, Facts, Holder, NpuPort


@dataclass
class Holding:
    """A container, or a process outside of any (``container`` is empty then)."""

    container: str = ""
    image: str = ""
    processes: list[Holder] = field(default_factory=list)


@dataclass
class Row:
    """``node`` is the N of ``/dev/davinciN``; ``ways`` lead to the other NPUs, by their names."""

    name: str
    node: int | None
    holdings: list[Holding]
    port: NpuPort | None
    cpus: str
    ways: dict[str, str]


@dataclass
class Drives:
    """Drives that are alike."""

    count: int
    size: int | None
    model: str
    transport: str


def rows(facts: Facts) -> list[Row]:
    """One a chip that npu-smi lists."""
    several = {npu.npu_id for npu in facts.npus if npu.chip_id}
    ports = {port.npu: port for port in facts.npu_ports}
    found = []
    for npu in facts.npus:
        name = f"{npu.npu_id}-{npu.chip_id or 0}" if npu.npu_id in several else f"{npu.npu_id}"
        # The topology counts chips, as device nodes do.
        node = f"NPU{npu.node}"
        port = ports.get(npu.node) if npu.node is not None else None
        holdings = holdings_of(facts, npu.node)
        found.append(Row(name, npu.node, holdings, port, facts.topology.cpus.get(node, ""), _ways(facts, node)))
    return found


def _ways(facts: Facts, node: str) -> dict[str, str]:
    links = facts.topology.links
    return {**{one: row[node] for one, row in links.items() if node in row}, **links.get(node, {})}


def holdings_of(facts: Facts, node: int | None) -> list[Holding]:
    """Who has the NPU behind a device node; ``None`` for those that only have the driver open."""
    given = {one.name: one for one in facts.containers if node is not None and node in one.npus}
    found = {name: Holding(name, one.image) for name, one in given.items()}
    known: dict[str, Container] = {one.name: one for one in facts.containers}
    for holder in facts.holders:
        if node not in holder.npus if node is not None else holder.npus:
            continue
        key = holder.container or f"process {holder.pid}"
        image = known[holder.container].image if holder.container in known else ""
        found.setdefault(key, Holding(holder.container or "", image)).processes.append(holder)
    return list(found.values())


def ways(facts: Facts) -> set[str]:
    """The kinds of way between NPUs: one where all reach each other alike."""
    return {way for row in facts.topology.links.values() for way in row.values()}


def drives(facts: Facts) -> list[Drives]:
    """Drives, those that are alike together."""
    found: dict[tuple[int | None, str | None, str | None], Drives] = {}
    for disk in facts.disks:
        key = (disk.size, disk.model, disk.transport)
        found.setdefault(key, Drives(0, disk.size, disk.model or "", disk.transport or "")).count += 1
    return list(found.values())
