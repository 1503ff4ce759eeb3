"""``lscpu`` and ``/proc/cpuinfo`` of Arm servers, in the layouts of old and new util-linux, English or Chinese."""

from __future__ import annotations

import re
import unicodedata

from hardware.inventory.facts.records import Cpu

# The implementer's code stands where lscpu is too old to know the name.
_VENDORS = {"0x48": "HiSilicon"}
_PARTS = {("0x48", "0xd01"): "Kunpeng-920"}

_LABELS: tuple[tuple[str, str], ...] = (
    ("bios_model", r"BIOS (?:Model name|型号名称|模型名称)"),
    ("model", r"Model name|型号名称|模型名称"),
    ("vendor", r"Vendor ID|(?:厂商|供应商|制造商) ?ID"),
    ("threads", r"CPU\(s\)|CPU"),
    ("per_core", r"Thread\(s\) per core|每个?核(?:心)?的线程数"),
    ("per_socket", r"Core\(s\) per socket|每个?(?:座|插槽)的(?:内)?核(?:心)?数"),
    ("per_cluster", r"Core\(s\) per cluster|每个?(?:集群|簇)的(?:内)?核(?:心)?数"),
    ("sockets", r"Socket\(s\)|座|插槽"),
    ("clusters", r"Cluster\(s\)|集群|簇"),
    ("numa_nodes", r"NUMA node\(s\)|NUMA 节点(?:数)?"),
    ("max_mhz", r"CPU max MHz|CPU 最大 ?MHz"),
)
_LABEL = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in _LABELS), re.I)


def read_lscpu(text: str) -> Cpu:
    """Never raises; what is not there or is ``-`` stays ``None``. On a machine that hides its sockets the cores are
    those of its clusters, or its threads by those of a core.
    """
    said: dict[str, str] = {}
    for line in unicodedata.normalize("NFKC", text).splitlines():
        label, colon, value = line.partition(":")
        known, value = _LABEL.fullmatch(label.strip()) if colon else None, value.strip()
        if known is not None and known.lastgroup is not None and value not in ("", "-"):
            said.setdefault(known.lastgroup, value)

    def whole(name: str) -> int | None:
        value = said.get(name, "")
        return int(value) if re.fullmatch(r"[0-9]{1,9}", value) else None

    sockets, threads, clusters = whole("sockets"), whole("threads"), whole("clusters")
    per_socket, per_cluster, per_core = whole("per_socket"), whole("per_cluster"), whole("per_core")
    cores = None
    if sockets and per_socket:
        cores = sockets * per_socket
    elif clusters and per_cluster:
        cores = clusters * per_cluster
    elif threads and per_core:
        cores = threads // per_core
    mhz = said.get("max_mhz", "")
    vendor = said.get("vendor")
    return Cpu(
        model=said.get("bios_model") or said.get("model"),
        vendor=_VENDORS.get((vendor or "").lower(), vendor),
        sockets=sockets,
        cores=cores,
        threads=threads,
        numa_nodes=whole("numa_nodes"),
        max_mhz=float(mhz) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", mhz) else None,
    )


def read_cpuinfo(text: str) -> Cpu:
    """Model, vendor and threads of ``/proc/cpuinfo``, which is there where ``lscpu`` is not."""
    said: dict[str, str] = {}
    threads = 0
    for line in text.splitlines():
        label, _, value = (part.strip() for part in line.partition(":"))
        threads += label == "processor"
        said.setdefault(label, value.lower())
    who = said.get("CPU implementer", "")
    return Cpu(model=_PARTS.get((who, said.get("CPU part", ""))), vendor=_VENDORS.get(who), threads=threads or None)
