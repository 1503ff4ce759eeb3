"""From the probe's text to facts. Never raises on odd text: what can't be read stays ``None`` and leaves a warning."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from hardware.inventory.facts.containers import read_containers, read_runtimes
from hardware.inventory.facts.disks import read_controllers, read_df, read_lsblk, read_mdstat
from hardware.inventory.facts.holders import node_of, read_holders
from hardware.inventory.facts.network import read_ip
from hardware.inventory.facts.npu_network import read_ports, read_topology
from hardware.inventory.facts.probe import sections
from hardware.inventory.facts.processor import read_lscpu
from hardware.inventory.facts.records import Container, Facts, Holder, MindSpore, Npu, Package
from hardware.inventory.facts.system import read_release
from hardware.npu import Chip, Report, parse, pci
from hardware.npu.versions import read_version_info


def read(text: str, asked: float | None = None, answered: float | None = None) -> Facts:
    """Facts of one probe's output.

    ``asked`` and ``answered`` are the console's clock when it sent the probe and when it had the whole answer, in
    seconds since 1970; without them the machine's clock is held against nothing.
    """
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

    kernel = _line(body("kernel"))
    release = read_release(f"{body('os-release')}\n{body('kylin-release')}", kernel)
    on_bus = _pci(body("lspci"), body("lspci-names"))
    memory = attempt("meminfo", _meminfo, {})
    report = parse(found.get("npu-smi", (127, ""))[1])
    nodes = _nodes(found)
    containers, holders = _held(found, report, nodes)
    clock = attempt("clock", _clock, None)
    after = attempt("clock-after", _clock, None) or _later(clock, _clock(body("uptime")), _clock(body("uptime-after")))
    asker = re.search(r"^user ([1-9][0-9]*)$", found.get("holders", (0, ""))[1], re.M)
    if asker:
        warnings.append("the login is not root's, and only root is told who holds an NPU")
    return Facts(
        hostname=_line(body("hostname")),
        boot_id=_line(body("boot_id")),
        clock=None if clock is None else int(clock),
        clock_skew_s=_skew(clock, after, asked, answered),
        simulated="simulated" in found and found["simulated"][0] == 0,
        architecture=_line(body("architecture")) or _architecture(body("lscpu")),
        kernel=kernel,
        kernel_headers=bool(body("headers").strip()),
        os_id=release.id,
        os_name=release.name,
        service_pack=release.service_pack,
        cpu=read_lscpu(body("lscpu")),
        memory_total=memory.get("MemTotal"),
        memory_free=memory.get("MemAvailable"),
        filesystems=read_df(found.get("df", (0, ""))[1]),
        disks=read_lsblk(body("lsblk")),
        raids=read_mdstat(body("mdstat")),
        raid_controllers=read_controllers(body("lspci-names")),
        nics=read_ip(body("links"), body("addresses"), body("speeds") + body("ethtool")),
        pci_npus=on_bus,
        davinci_nodes=nodes,
        npus=tuple(_npu(chip, on_bus, node_of(chip, report.chips)) for chip in report.chips),
        npu_error=_npu_error(report, found),
        npu_smi=report.tool_version,
        topology=read_topology(body("topology")),
        npu_ports=read_ports(body("hccn-conf"), found.get("ports", (0, ""))[1]),
        containers=containers,
        holders=holders,
        driver=_package(body("driver"), "fw"),
        firmware=_package(body("firmware"), "drv"),
        cann=_package(body("toolkit"), ""),
        mindspore=_mindspore(body("mindspore")),
        converter_lite=_converter(body("converter-lite")),
        python_packages=_python_packages(body("python-packages")),
        pythons=_pythons(body("pythons")),
        hwhiaiuser="(HwHiAiUser)" in body("user").partition(" ")[2],
        missing_tools=tuple(body("tools").split()) if "tools" in found else None,
        packages=_packages(found.get("packages", (0, ""))[1]),
        docker=next((line for line in body("runtimes").splitlines() if line.startswith("Docker version")), None),
        runtimes=read_runtimes(body("runtimes")),
        warnings=tuple(warnings),
    )


def read_held(text: str) -> tuple[tuple[Container, ...], tuple[Holder, ...]]:
    """Containers and holders of one ``LOOK``'s output. Raises ``ValueError`` when it did not say."""
    found = sections(text)
    if "holders" not in found:
        raise ValueError("the machine did not say who holds its NPUs")
    return _held(found, parse(found.get("npu-smi", (127, ""))[1]), _nodes(found))


def _nodes(found: dict[str, tuple[int, str]]) -> tuple[str, ...]:
    return tuple(line for line in found.get("davinci", (0, ""))[1].split() if line.startswith("/dev/"))


def _held(
    found: dict[str, tuple[int, str]], report: Report, nodes: tuple[str, ...]
) -> tuple[tuple[Container, ...], tuple[Holder, ...]]:
    containers = read_containers(found.get("containers", (0, ""))[1], nodes)
    text = found.get("holders", (0, ""))[1]
    return containers, read_holders(text, report.processes, report.chips, containers)


def _npu_error(report: Report, found: dict[str, tuple[int, str]]) -> str | None:
    if report.error:
        return f"{report.error.code}: {report.error.text}"
    if not report.chips and found.get("npu-smi", (0, ""))[0] == 124:
        return "timeout: npu-smi gave no answer within 20 s; look at dmesg"
    return None


def _clock(text: str) -> float | None:
    # A date without nanoseconds prints the letters that ask for them.
    said = re.match(r"([0-9]{1,11})(\.[0-9]{1,9})?", text.strip())
    return float(said[0]) if said else None


def _later(clock: float | None, up: float | None, up_after: float | None) -> float | None:
    """The machine's clock at the end, by how long it has been up (to a hundredth of a second)."""
    return None if clock is None or up is None or up_after is None else clock + up_after - up


def _skew(before: float | None, after: float | None, asked: float | None, answered: float | None) -> float | None:
    """The machine read its clock after it was asked and before the answer was here: the middle of what is possible."""
    if before is None or asked is None or answered is None:
        return None
    most, least = before - asked, (before if after is None else after) - answered
    return round((most + least) / 2, 3)


def _line(text: str) -> str | None:
    return text.strip().splitlines()[0].strip() if text.strip() else None


def _architecture(lscpu: str) -> str | None:
    said = re.search(r"^Architecture: +(\S+)$", lscpu, re.M)
    return said[1] if said else None


def _meminfo(text: str) -> dict[str, int]:
    rows = (line.split() for line in text.splitlines())
    return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows if len(row) >= 2 and row[1].isdigit()}


def _pci(numeric: str, named: str) -> tuple[tuple[str, str], ...]:
    found = pci.read_lspci(numeric) or pci.read_lspci(named)
    return tuple((npu.slot, npu.device) for npu in found if npu.device)


def _npu(chip: Chip, on_bus: tuple[tuple[str, str], ...], node: int | None) -> Npu:
    """The PCI id says which generation a chip is of; npu-smi's name alone does not always."""
    devices = {pci.short_slot(slot): device for slot, device in on_bus}
    alike = set(devices.values())
    device = devices.get(pci.short_slot(chip.bus_id or "")) or (alike.pop() if len(alike) == 1 else None)
    return Npu(
        chip.npu_id,
        chip.chip_id,
        chip.name,
        chip.health,
        chip.bus_id,
        chip.hbm_total_mb,
        pci.generation(chip.name, device),
        node,
    )


def _package(text: str, counterpart: str) -> Package | None:
    said = read_version_info(text)
    if not said.version:
        return None
    return Package(
        said.version,
        said.ranges.get(counterpart, ()),
        said.inner_version,
        said.ranges.get("", ()) if counterpart else (),
        said.package_version,
    )


def _pythons(text: str) -> dict[str, str]:
    return dict(re.findall(r"^(python3\S*) Python (\d\S*)$", text, re.M))


def _mindspore(text: str) -> MindSpore | None:
    """The newest, where several interpreters have one."""
    found = re.findall(r"/python(3\.\d+)/[\w-]+/mindspore-(\d\S*)\.dist-info$", text, re.M)
    newest = max(found, key=lambda pair: [int(part) for part in re.findall(r"\d+", pair[1])], default=None)
    return MindSpore(newest[1], newest[0]) if newest else None


def _converter(text: str) -> str | None:
    """Its path; one that names the package's version before one that is only found by its name."""
    paths = [line.strip() for line in text.splitlines() if line.strip().startswith("/")]
    return max(paths, key=lambda path: ("mindspore-lite-" in path, path), default=None)


def _python_packages(text: str) -> dict[str, str]:
    """Name -> version, the newest where several interpreters have one."""
    found: dict[str, str] = {}
    for name, version in re.findall(r"/([\w.]+)-(\d\S*)\.dist-info$", text, re.M):
        found[name] = max(found.get(name, ""), version, key=lambda one: [int(n) for n in re.findall(r"\d+", one)])
    return found


def _packages(text: str) -> dict[str, str]:
    rows = (line.split() for line in text.splitlines())
    return {row[0]: row[1] for row in rows if len(row) == 2}
