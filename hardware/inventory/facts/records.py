"""Facts: what a probe read off a machine. ``None`` means that the machine did not say."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Cpu:
    model: str | None = None
    vendor: str | None = None
    sockets: int | None = None
    cores: int | None = None
    threads: int | None = None
    numa_nodes: int | None = None
    max_mhz: float | None = None


@dataclass(frozen=True)
class Filesystem:
    """Sizes in bytes."""

    mount: str
    size: int
    free: int


@dataclass(frozen=True)
class Raid:
    """``size`` in bytes; ``healthy`` when no member is missing."""

    name: str
    level: str
    size: int
    healthy: bool


@dataclass(frozen=True)
class Nic:
    """``speed_mbps`` in Mbit/s."""

    name: str
    up: bool
    speed_mbps: int | None = None
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Npu:
    npu_id: int | None
    chip_id: int | None
    name: str | None
    health: str | None
    bus_id: str | None
    hbm_total_mb: int | None


@dataclass(frozen=True)
class Package:
    """A driver, firmware or CANN. ``ranges`` of its counterpart, as its own version.info says: [(low, high), ...]."""

    version: str
    ranges: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Facts:
    """One reading. ``clock`` in seconds since 1970; memory in bytes; ``pci_npus`` are (slot, device id)."""

    schema_version: int = SCHEMA_VERSION
    hostname: str | None = None
    boot_id: str | None = None
    clock: int | None = None
    simulated: bool = False
    architecture: str | None = None
    kernel: str | None = None
    kernel_headers: bool = False
    os_id: str | None = None
    os_name: str | None = None
    service_pack: str | None = None
    cpu: Cpu = field(default_factory=Cpu)
    memory_total: int | None = None
    memory_free: int | None = None
    filesystems: tuple[Filesystem, ...] = ()
    raids: tuple[Raid, ...] = ()
    nics: tuple[Nic, ...] = ()
    pci_npus: tuple[tuple[str, str], ...] = ()
    davinci_nodes: tuple[str, ...] = ()
    npus: tuple[Npu, ...] = ()
    npu_error: str | None = None
    driver: Package | None = None
    firmware: Package | None = None
    cann: Package | None = None
    hwhiaiuser: bool = False
    packages: dict[str, str] = field(default_factory=dict)
    docker: str | None = None
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Facts:
        """Facts as they were stored; fields that are new since keep their defaults, unknown ones are dropped."""
        known = {f.name for f in fields(cls)}
        kept = {name: value for name, value in data.items() if name in known}
        kept["cpu"] = Cpu(**(kept.get("cpu") or {}))
        for name, record in (("filesystems", Filesystem), ("raids", Raid), ("npus", Npu)):
            kept[name] = tuple(record(**item) for item in kept.get(name, ()))
        kept["nics"] = tuple(Nic(**{**nic, "addresses": tuple(nic["addresses"])}) for nic in kept.get("nics", ()))
        for name in ("pci_npus", "davinci_nodes", "warnings"):
            kept[name] = tuple(tuple(v) if isinstance(v, list) else v for v in kept.get(name, ()))
        for name in ("driver", "firmware", "cann"):
            if kept.get(name):
                kept[name] = Package(kept[name]["version"], tuple((a, b) for a, b in kept[name]["ranges"]))
        return cls(**kept)
