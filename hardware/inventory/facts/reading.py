"""From the probe's text to facts. Never raises on odd text: what can't be read stays ``None`` and leaves a warning."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from hardware.inventory.facts.probe import sections
from hardware.inventory.facts.records import Cpu, Facts, Filesystem, Nic, Npu, Package, Raid
from hardware.npu import parse

# Kylin V10's service packs all say VERSION_ID=V10; the codename tells them apart (FACTS section 8).
SERVICE_PACKS = {"Tercel": "SP1", "Sword": "SP2", "Lance": "SP3"}
_RANGE = re.compile(r"\[([^\],]+),([^\]]+)\]")


def read(text: str) -> Facts:
    """Facts of one probe's output."""
    found = sections(text)
    warnings: list[str] = [] if found else ["the probe gave no section that can be read"]

    def body(name: str) -> str:
        status, output = found.get(name, (127, ""))
        return output if status == 0 else ""

    def attempt(name: str, reader: Callable[[str], Any], default: Any) -> Any:
        try:
            return reader(body(name))
        except (ValueError, IndexError, KeyError) as wrong:
            warnings.append(f"{name} was not understood: {wrong}")
            return default

    os_release = attempt("os-release", _assignments, {})
    names = f"{os_release.get('VERSION', '')} {body('kylin-release')}"
    memory = attempt("meminfo", _meminfo, {})
    report = parse(found.get("npu-smi", (127, ""))[1])
    return Facts(
        hostname=_line(body("hostname")),
        boot_id=_line(body("boot_id")),
        clock=attempt("clock", lambda t: int(t) if t.strip() else None, None),
        simulated="simulated" in found and found["simulated"][0] == 0,
        architecture=_line(body("architecture")),
        kernel=_line(body("kernel")),
        kernel_headers=bool(body("headers").strip()),
        os_id=os_release.get("ID"),
        os_name=os_release.get("PRETTY_NAME"),
        service_pack=next((pack for codename, pack in SERVICE_PACKS.items() if codename in names), None),
        cpu=attempt("lscpu", _cpu, Cpu()),
        memory_total=memory.get("MemTotal"),
        memory_free=memory.get("MemAvailable"),
        filesystems=attempt("df", lambda _: _filesystems(found.get("df", (0, ""))[1]), ()),
        raids=attempt("mdstat", _raids, ()),
        nics=attempt("links", lambda t: _nics(t, body("addresses"), body("speeds") + body("ethtool")), ()),
        pci_npus=_pci(body("lspci"), body("lspci-names")),
        davinci_nodes=tuple(line for line in found.get("davinci", (0, ""))[1].split() if line.startswith("/dev/")),
        npus=tuple(Npu(c.npu_id, c.chip_id, c.name, c.health, c.bus_id, c.hbm_total_mb) for c in report.chips),
        npu_error=f"{report.error.code}: {report.error.text}" if report.error else None,
        driver=_package(body("driver"), "compatible_version_fw"),
        firmware=_package(body("firmware"), "compatible_version_drv"),
        cann=_package(body("toolkit"), "compatible_version"),
        hwhiaiuser=bool(body("user").strip()),
        packages=_packages(found.get("packages", (0, ""))[1]),
        docker=_line(body("docker")),
        warnings=tuple(warnings),
    )


def _line(text: str) -> str | None:
    return text.strip().splitlines()[0].strip() if text.strip() else None


def _assignments(text: str) -> dict[str, str]:
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {key.strip(): value.strip().strip('"') for key, value in pairs}


def _meminfo(text: str) -> dict[str, int]:
    rows = (line.split() for line in text.splitlines())
    return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows if len(row) >= 2 and row[1].isdigit()}


def _cpu(text: str) -> Cpu:
    said = {key.strip(): value.strip() for key, value in (r.split(":", 1) for r in text.splitlines() if ":" in r)}

    def number(key: str) -> int | None:
        return int(said[key]) if said.get(key, "").isdigit() else None

    sockets, per_socket = number("Socket(s)"), number("Core(s) per socket")
    mhz = said.get("CPU max MHz", "")
    return Cpu(
        model=said.get("BIOS Model name") or said.get("Model name"),
        vendor=said.get("Vendor ID"),
        sockets=sockets,
        cores=sockets * per_socket if sockets and per_socket else number("CPU(s)"),
        threads=number("CPU(s)"),
        numa_nodes=number("NUMA node(s)"),
        max_mhz=float(mhz) if re.fullmatch(r"\d+(\.\d+)?", mhz) else None,
    )


def _filesystems(text: str) -> tuple[Filesystem, ...]:
    found: dict[str, Filesystem] = {}
    for row in (line.split(None, 5) for line in text.splitlines()):
        if len(row) == 6 and row[1].isdigit() and row[3].isdigit():
            found[row[5]] = Filesystem(row[5], int(row[1]) * 1024, int(row[3]) * 1024)
    return tuple(found.values())


def _raids(text: str) -> tuple[Raid, ...]:
    pattern = re.compile(r"^(md\S+) : active (?:\(\S+\) )?(\S+) .*\n\s+(\d+) blocks(.*)$", re.M)
    return tuple(
        Raid(name, level, int(blocks) * 1024, "_" not in rest.rsplit("[", 1)[-1])
        for name, level, blocks, rest in pattern.findall(text)
    )


def _nics(links: str, addresses: str, speeds: str) -> tuple[Nic, ...]:
    rates: dict[str, int] = {}
    for line in speeds.splitlines():
        found = re.match(r"(?:/sys/class/net/)?([^\s/]+)(?:/speed)?\s.*?(\d+)", line)
        if found and int(found.group(2)) > 0:
            rates.setdefault(found.group(1), int(found.group(2)))
    owned: dict[str, list[str]] = {}
    for row in (line.split() for line in addresses.splitlines()):
        if len(row) >= 4:
            owned.setdefault(row[1], []).append(row[3])
    nics = []
    for match in re.finditer(r"^\d+: ([^:@\s]+)\S*: <([^>]*)>", links, re.M):
        name, flags = match.groups()
        if name != "lo":
            nics.append(Nic(name, "UP" in flags.split(","), rates.get(name), tuple(owned.get(name, ()))))
    return tuple(nics)


def _pci(numeric: str, named: str) -> tuple[tuple[str, str], ...]:
    found = re.findall(r"^(\S+) \S+ 19e5:(d[0-9a-f]{3})\b", numeric, re.M | re.I)
    if not found:
        found = re.findall(r"^(\S+) Processing accelerators: Huawei.* Device (d[0-9a-f]{3})\b", named, re.M | re.I)
    return tuple((slot, device.lower()) for slot, device in found)


def _package(text: str, range_key: str) -> Package | None:
    said = {key.lower(): value for key, value in _assignments(text).items()}
    if not said.get("version"):
        return None
    return Package(said["version"], tuple((a, b) for a, b in _RANGE.findall(said.get(range_key, ""))))


def _packages(text: str) -> dict[str, str]:
    rows = (line.split() for line in text.splitlines())
    return {row[0]: row[1] for row in rows if len(row) == 2}
