"""Machines' facts as the site that a parallel plan is made for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hardware.inventory.facts import Facts, Nic
from jobs.failures import PlanRefused
from jobs.kind import Target


def site_of(targets: Sequence[Target], super_pods: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """As ``jobs.sharding.site`` reads it. ``super_pods`` is what facts do not have of an Atlas A3, by machine.

    Raises ``PlanRefused`` for a machine whose chips or whose memory is not known.
    """
    if unknown := sorted(set(super_pods) - {target.name for target in targets}):
        raise PlanRefused(
            "super-pod-unknown",
            f"{unknown[0]} is none of the machines.",
            "Name the machines as they are.",
            "super_pods",
        )
    return {"machines": [_machine(target, super_pods.get(target.name, {})) for target in targets]}


def _machine(target: Target, pod: Mapping[str, Any]) -> dict[str, Any]:
    facts = target.require_facts()
    memory = [npu.hbm_total_mb for npu in facts.npus if npu.hbm_total_mb]
    if not facts.npus or len(memory) < len(facts.npus):
        raise PlanRefused(
            "npu-memory-unknown",
            f"{target.name}: npu-smi lists no NPU with its memory.",
            "Install the driver and probe again, or take the machine out of the targets.",
            "targets",
        )
    ports = {port.npu: port.address for port in facts.npu_ports}
    nodes = sorted(n if npu.node is None else npu.node for n, npu in enumerate(facts.npus))
    devices = list(pod.get("super_device_ids", ()))
    if devices and len(devices) != len(nodes):
        raise PlanRefused(
            "super-pod-unknown",
            f"{target.name} has {len(nodes)} NPUs and {len(devices)} super device ids.",
            "Give one for each NPU, in their order.",
            "super_pods",
        )
    chips = [
        {"id": node, "address": ports.get(node), "super_device_id": devices[place] if devices else None}
        for place, node in enumerate(nodes)
    ]
    nic = _fastest(facts)
    return {
        "name": target.name,
        "address": _ipv4(nic) if nic else "",
        "nic": nic.name if nic else "",
        "generation": facts.npus[0].generation,
        "hbm_mb": min(memory),
        "cann": facts.cann.version if facts.cann else "",
        "chips": chips,
        "super_pod_id": pod.get("super_pod_id"),
    }


def _fastest(facts: Facts) -> Nic | None:
    """What the host's own side of an exchange goes over: of those with an address, the fastest."""
    usable = [nic for nic in facts.nics if nic.up and nic.name != "lo" and _ipv4(nic)]
    return max(usable, key=lambda nic: nic.speed_mbps or 0, default=None)


def _ipv4(nic: Nic) -> str:
    found = (address.partition("/")[0] for address in nic.addresses)
    return next((address for address in found if "." in address and not address.startswith("127.")), "")
