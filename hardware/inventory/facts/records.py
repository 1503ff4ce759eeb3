"""Facts: what a probe read off a machine. ``None`` means that the machine did not say."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

SCHEMA_VERSION = 3
# Facts that a reading of an earlier version did not look for: that they were not there then says nothing.
_SINCE_2 = "clock_skew_s disks raid_controllers topology npu_ports containers holders runtimes npu_smi"
NEW_IN = {2: frozenset(_SINCE_2.split()), 3: frozenset({"converter_lite", "python_packages"})}


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
class Disk:
    """A drive, or a volume of a RAID controller, as lsblk lists it. ``size`` in bytes; ``transport`` as there: nvme,
    sata, sas, usb.
    """

    name: str
    size: int | None = None
    model: str | None = None
    transport: str | None = None
    rotates: bool | None = None


@dataclass(frozen=True)
class Raid:
    """An array of the kernel's own (md). ``size`` in bytes; ``healthy`` when no member is missing and it is active.

    ``failed`` are those of its ``members`` that were thrown out; ``rebuilding`` while one is filled again.
    """

    name: str
    level: str
    size: int
    healthy: bool
    members: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    rebuilding: bool = False


@dataclass(frozen=True)
class Nic:
    """``speed_mbps`` in Mbit/s."""

    name: str
    up: bool
    speed_mbps: int | None = None
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Npu:
    """``generation``: 310, 310B, 310P, 910 (the first), 910B (Atlas A2), A3 or 950, by PCI id before name.

    ``node`` is the N of its ``/dev/davinciN``.
    """

    npu_id: int | None
    chip_id: int | None
    name: str | None
    health: str | None
    bus_id: str | None
    hbm_total_mb: int | None
    generation: str | None = None
    node: int | None = None


@dataclass(frozen=True)
class Topology:
    """How NPUs reach each other: ``links["NPU0"]["NPU1"]`` is ``HCCS``, each pair once, the lower number first.

    ``cpus`` are the processors near each, as the kernel writes a list: ``0-31``.
    """

    links: dict[str, dict[str, str]] = field(default_factory=dict)
    cpus: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class NpuPort:
    """The network port of the NPU behind ``/dev/davinciN``: what ``/etc/hccn.conf`` gives it, and its link, ``UP`` or
    ``DOWN``.
    """

    npu: int
    address: str | None = None
    netmask: str | None = None
    gateway: str | None = None
    link: str | None = None


@dataclass(frozen=True)
class Container:
    """A container that runs, is paused or is being restarted. ``npus`` are the N of each ``/dev/davinciN`` that it was
    given; a ``privileged`` one may use any other, too.
    """

    name: str
    id: str
    image: str
    npus: tuple[int, ...] = ()
    pid: int | None = None
    privileged: bool = False
    state: str | None = None


@dataclass(frozen=True)
class Holder:
    """A process that has an NPU: a device node open, or a row in npu-smi's table.

    ``npus`` are N of ``/dev/davinciN``; none for one that only has the manager's node open. ``container`` is its
    container's name, or the start of its id where no name is known; ``memory_mb`` as npu-smi counts it.
    """

    pid: int
    name: str
    npus: tuple[int, ...] = ()
    container: str | None = None
    memory_mb: int | None = None


@dataclass(frozen=True)
class Package:
    """A driver, firmware or CANN. ``ranges`` of its counterpart, as its own version.info says: [(low, high), ...].

    Driver and CANN know each other by ``inner_version`` (``V100R001C20SPC001B251``) and by the ``generations`` that a
    driver names. ``release`` is the number of the set that a driver and a firmware come in.
    """

    version: str
    ranges: tuple[tuple[str, str], ...] = ()
    inner_version: str | None = None
    generations: tuple[tuple[str, str], ...] = ()
    release: str | None = None


@dataclass(frozen=True)
class MindSpore:
    """``python`` is the minor version of the interpreter that it was installed for: ``3.9``."""

    version: str
    python: str


@dataclass(frozen=True)
class Facts:
    """One reading. ``clock`` in seconds since 1970; memory in bytes; ``pci_npus`` are (slot, device id).

    ``clock_skew_s`` is how many seconds the machine's clock is ahead of the console's. ``raid_controllers`` are named
    as lspci does; their volumes are among the ``disks``, and of which level they are only their own tool knows.
    ``runtimes`` maps what runs containers to its version, which is empty where it tells none.
    ``missing_tools``: those that a driver's installer calls and that are not there; ``None`` where nobody asked.
    ``converter_lite`` is the path of MindSpore Lite's converter. ``python_packages`` maps torch, torch_npu and
    msmodelslim to their versions, where they are.
    ``pythons`` maps the command of an interpreter to its version: ``{"python3": "3.7.9"}``.
    """

    schema_version: int = SCHEMA_VERSION
    hostname: str | None = None
    boot_id: str | None = None
    clock: int | None = None
    clock_skew_s: float | None = None
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
    disks: tuple[Disk, ...] = ()
    raids: tuple[Raid, ...] = ()
    raid_controllers: tuple[str, ...] = ()
    nics: tuple[Nic, ...] = ()
    pci_npus: tuple[tuple[str, str], ...] = ()
    davinci_nodes: tuple[str, ...] = ()
    npus: tuple[Npu, ...] = ()
    npu_error: str | None = None
    npu_smi: str | None = None
    topology: Topology = field(default_factory=Topology)
    npu_ports: tuple[NpuPort, ...] = ()
    containers: tuple[Container, ...] = ()
    holders: tuple[Holder, ...] = ()
    driver: Package | None = None
    firmware: Package | None = None
    cann: Package | None = None
    mindspore: MindSpore | None = None
    converter_lite: str | None = None
    python_packages: dict[str, str] = field(default_factory=dict)
    pythons: dict[str, str] = field(default_factory=dict)
    hwhiaiuser: bool = False
    missing_tools: tuple[str, ...] | None = None
    packages: dict[str, str] = field(default_factory=dict)
    docker: str | None = None
    runtimes: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {name: _plain(getattr(self, name)) for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Facts:
        """Facts as they were stored; fields that are new since keep their defaults, unknown ones are dropped."""
        known = {f.name for f in fields(cls)}
        kept = {name: value for name, value in data.items() if name in known}
        kept["cpu"] = _made(Cpu, kept.get("cpu") or {})
        kept["topology"] = _made(Topology, kept.get("topology") or {})
        for name, record in _RECORDS.items():
            kept[name] = tuple(_made(record, item) for item in kept.get(name, ()))
        for name in ("pci_npus", "davinci_nodes", "raid_controllers", "warnings"):
            kept[name] = tuple(tuple(v) if isinstance(v, list) else v for v in kept.get(name, ()))
        if kept.get("missing_tools") is not None:
            kept["missing_tools"] = tuple(kept["missing_tools"])
        for name in ("driver", "firmware", "cann"):
            if kept.get(name):
                kept[name] = _package(kept[name])
        if kept.get("mindspore"):
            kept["mindspore"] = _made(MindSpore, kept["mindspore"])
        return cls(**kept)


_RECORDS: dict[str, type[Any]] = {
    "filesystems": Filesystem,
    "disks": Disk,
    "raids": Raid,
    "nics": Nic,
    "npus": Npu,
    "npu_ports": NpuPort,
    "containers": Container,
    "holders": Holder,
}


def _plain(value: Any) -> Any:
    """What ``asdict`` gives, without a copy of each leaf: a fleet's readings are all compared, whole."""
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    known = getattr(value, "__dataclass_fields__", None)
    return value if known is None else {name: _plain(getattr(value, name)) for name in known}


def _made(record: type[Any], data: dict[str, Any]) -> Any:
    """A record as it was stored, lists as the tuples that they were."""
    known = {f.name for f in fields(record)}
    return record(**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items() if k in known})


def _package(data: dict[str, Any]) -> Package:
    pairs = {name: tuple((low, high) for low, high in data.get(name, ())) for name in ("ranges", "generations")}
    return Package(
        data["version"], pairs["ranges"], data.get("inner_version"), pairs["generations"], data.get("release")
    )
