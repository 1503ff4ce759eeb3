"""HCCL rank tables, versions 1.0 and 1.2 (Atlas A3, with super device ids and super pods): every value a string.

Form: the examples of MindCluster's documentation; ``host_ip``, ``container_ip`` and ``hardware_type`` are there where
they are known. Ranks go through the nodes in their order and through a node's chips by their number.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from jobs.sharding.errors import ShardingRefused
from jobs.sharding.site import Chip, Node

Placed = Sequence[tuple[Node, Sequence[Chip]]]


def version_for(nodes: Sequence[Node]) -> str:
    """1.2 for Atlas A3, 1.0 for what came before."""
    return "1.2" if any(node.generation == "A3" for node in nodes) else "1.0"


def rank_table(placed: Placed, version: str) -> dict[str, Any]:
    """The table of the chips given, node by node.

    Raises ShardingRefused (`device-ip-missing`, `device-ip-invalid`, `super-pod-missing`).
    """
    _check(placed)
    servers, rank = [], 0
    for node, chips in placed:
        devices = []
        for chip in chips:
            device = {"device_id": str(chip.id), "device_ip": chip.address}
            if version == "1.2":
                device["super_device_id"] = _super_device(node, chip)
            devices.append({**device, "rank_id": str(rank)})
            rank += 1
        server: dict[str, Any] = {"device": devices, "server_id": node.address or node.name}
        if node.address:
            # The launch parameters have host networking: the container's address is the host's.
            server |= {"host_ip": node.address, "container_ip": node.address}
        if node.hardware_type:
            server["hardware_type"] = node.hardware_type
        servers.append(server)
    table: dict[str, Any] = {
        "status": "completed", "version": version, "server_count": str(len(servers)), "server_list": servers,
    }  # fmt: skip
    if version == "1.2":
        pods: dict[str, list[dict[str, str]]] = {}
        for node, _ in placed:
            pods.setdefault(node.super_pod_id or "0", []).append({"server_id": node.address or node.name})
        table["super_pod_list"] = [{"super_pod_id": pod, "server_list": members} for pod, members in pods.items()]
    return table


def _super_device(node: Node, chip: Chip) -> str:
    if not chip.super_device_id:
        raise ShardingRefused(
            "super-pod-missing",
            f"{node.name}: NPU {chip.id} has no super device id, which a rank table of version 1.2 holds.",
            f"Read it with npu-smi info -t spod-info -i {chip.id} -c 0 (SDID) and give it with the machines.",
        )
    return chip.super_device_id


def _check(placed: Placed) -> None:
    seen: dict[str, str] = {}
    for node, chips in placed:
        for chip in chips:
            here = f"{node.name}: NPU {chip.id}"
            if not chip.address:
                raise ShardingRefused(
                    "device-ip-missing",
                    f"{here} has no address in /etc/hccn.conf.",
                    f"Set it with hccn_tool -i {chip.id} -ip -s address ADDRESS netmask MASK, then probe {node.name}.",
                )
            try:
                ipaddress.ip_address(chip.address)
            except ValueError:
                raise ShardingRefused(
                    "device-ip-invalid", f"{here} has the address {chip.address!r}, which is none.",
                    f"Correct /etc/hccn.conf of {node.name}, then probe it.",
                ) from None  # fmt: skip
            if chip.address in seen:
                raise ShardingRefused(
                    "device-ip-invalid", f"{here} has the address {chip.address}, and so has {seen[chip.address]}.",
                    f"Give each NPU its own in /etc/hccn.conf of {node.name}, then probe it.",
                )  # fmt: skip
            seen[chip.address] = here
