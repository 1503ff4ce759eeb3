"""How NPUs are connected: to each other within the machine (``npu-smi info -t topo``), and by their own ports."""

from __future__ import annotations

import re

from hardware.inventory.facts.records import NpuPort, Topology
from hardware.npu import parse
from hardware.npu.hccn import Address, read_conf, read_hccn

_NAME = re.compile(r"\D*([0-9]+)$")
_PORT = re.compile(r"^npu ([0-9]{1,4})$", re.M)


def read_topology(text: str) -> Topology:
    """Each pair once: the table says it twice."""
    report = parse(text, "npu-smi info -t topo")
    links: dict[str, dict[str, str]] = {}
    for one, row in report.fields.get("topology", {}).items():
        for other, way in row.items():
            if _number(one) < _number(other):
                links.setdefault(one, {})[other] = way
    near = report.fields.get("cpu_affinity", {})
    return Topology(links, {name: cpus for name, cpus in near.items() if cpus})


def _number(name: str) -> int:
    found = _NAME.match(name)
    return int(found[1][:9]) if found else -1


def read_ports(conf: str, links: str) -> tuple[NpuPort, ...]:
    """Ports by NPU: those that ``/etc/hccn.conf`` has an address for, and those that ``hccn_tool`` told the link of."""
    addresses = read_conf(conf)
    parts = _PORT.split(links)
    said = {int(npu): read_hccn(text).link for npu, text in zip(parts[1::2], parts[2::2], strict=False)}
    found = []
    for npu in sorted(addresses.keys() | {npu for npu, link in said.items() if link}):
        port = addresses.get(npu, Address())
        found.append(NpuPort(npu, port.address, port.netmask, port.gateway, said.get(npu)))
    return tuple(found)
