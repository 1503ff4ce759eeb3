"""The machines that a plan is made for: chips, memory, addresses, and how fast the links are.

JSON::

    {"machines": [{"name": "node-1", "address": "10.0.0.1", "nic": "enp189s0f0", "generation": "910B",
                   "hbm_mb": 65536, "cann": "8.5.0",
                   "chips": [{"id": 0, "address": "192.168.10.21", "super_device_id": null}, ...],
                   "super_pod_id": null, "hardware_type": ""}],
     "inside": {"gbytes_per_s": 80.0, "latency_us": 10}, "across": {...}}

Links are optional: what nobody measured is not guessed, and times over it are then not given.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.sharding.errors import ShardingRefused


@dataclass(frozen=True)
class Link:
    """One direction of the way from a chip to its neighbour: seconds before the first byte, and bytes a second."""

    latency_s: float
    bytes_per_s: float


@dataclass(frozen=True)
class Chip:
    """``id`` is N of ``/dev/davinciN``; ``address`` that of its own port (``/etc/hccn.conf``)."""

    id: int
    address: str = ""
    super_device_id: str = ""


@dataclass(frozen=True)
class Node:
    """``hbm_mb`` of one chip in MiB; ``address`` and ``nic`` of the host's own network."""

    name: str
    chips: tuple[Chip, ...]
    hbm_mb: int
    address: str = ""
    nic: str = ""
    generation: str = ""
    cann: str = ""
    super_pod_id: str = ""
    hardware_type: str = ""


@dataclass(frozen=True)
class Site:
    """``inside`` joins the chips of a node, ``across`` those of different nodes; ``None`` where it was not measured."""

    nodes: tuple[Node, ...]
    inside: Link | None = None
    across: Link | None = None

    @property
    def chips_per_node(self) -> int:
        """What every node has: a split is the same on all of them."""
        return min(len(node.chips) for node in self.nodes)

    @property
    def used(self) -> list[tuple[Node, tuple[Chip, ...]]]:
        """The chips that a plan is for: of each node the first ones, as many as the smallest has."""
        return [(node, node.chips[: self.chips_per_node]) for node in self.nodes]

    @property
    def idle(self) -> int:
        """How many chips of larger nodes no plan uses."""
        return sum(len(node.chips) - self.chips_per_node for node in self.nodes)

    @property
    def hbm_bytes(self) -> int:
        """Of the chip that has least."""
        return min(node.hbm_mb for node in self.nodes) * 1024**2


def link_of(gbytes_per_s: float, latency_us: float) -> Link:
    """Raises ShardingRefused (`request-invalid`)."""
    if not 0.001 <= gbytes_per_s <= 10_000 or not 0 <= latency_us <= 1e6:
        raise ShardingRefused(
            "request-invalid",
            f"A link of {gbytes_per_s} GB/s and {latency_us} microseconds can't be.",
            "Give GB a second (200 Gbit/s are 25) and microseconds.",
        )
    return Link(latency_us / 1e6, gbytes_per_s * 1e9)


def read_site(text: str) -> Site:
    """A site from JSON, given as text or as the path of a file. Raises ShardingRefused (`site-invalid`)."""
    try:
        if not text.lstrip().startswith("{"):
            text = Path(text).read_text(encoding="utf-8")
        data = json.loads(text)
        nodes = tuple(_node(entry) for entry in data["machines"])
        links = {
            name: link_of(float(data[name]["gbytes_per_s"]), float(data[name].get("latency_us", 0)))
            for name in ("inside", "across")
            if data.get(name)
        }
    except OSError as error:
        raise _invalid(f"it cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _invalid(f"{type(error).__name__} {error}") from error
    names = [node.name for node in nodes]
    if not nodes or len(set(names)) != len(names):
        raise _invalid("it has no machine, or one twice")
    for node in nodes:
        if not node.chips or node.hbm_mb <= 0 or len({chip.id for chip in node.chips}) != len(node.chips):
            raise _invalid(f"{node.name} has no chips, one twice, or no memory on them")
    return Site(nodes, links.get("inside"), links.get("across"))


def _node(entry: dict[str, Any]) -> Node:
    chips = tuple(
        Chip(int(chip["id"]), str(chip.get("address") or ""), _text(chip.get("super_device_id")))
        for chip in entry["chips"]
    )
    texts = {name: _text(entry.get(name)) for name in _TEXTS}
    return Node(str(entry["name"]), tuple(sorted(chips, key=lambda chip: chip.id)), int(entry["hbm_mb"]), **texts)


_TEXTS = ("address", "nic", "generation", "cann", "super_pod_id", "hardware_type")


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _invalid(why: str) -> ShardingRefused:
    return ShardingRefused(
        "site-invalid", f"The description of the machines is of no use: {why}.", "See docs/sharding.md for its form."
    )
