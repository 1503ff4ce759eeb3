"""The rules. Each passes, warns or blocks, says why with the values it saw, and names the job that would mend it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal

from hardware.inventory.facts import Facts
from hardware.inventory.preflight.versions import within

Severity = Literal["pass", "warn", "block"]
GIB = 1024**3
TB = 10**12


@dataclass(frozen=True)
class Mend:
    """A job that would mend it: kind, parameters, and the words on its button."""

    kind: str
    params: dict[str, Any]
    label: str


@dataclass(frozen=True)
class Check:
    """``code`` is stable; ``values`` are what the reason speaks of."""

    code: str
    severity: Severity
    reason: str
    mend: Mend | None = None
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Need:
    """What a job asks of a machine. ``free`` is bytes by folder; ``packages`` are rpm names.

    ``replaces_driver``: the job puts driver and firmware right, so what is wrong with those now does not stop it.
    """

    architecture: str = "aarch64"
    packages: tuple[str, ...] = ()
    kernel_headers: bool = False
    free: dict[str, int] = field(default_factory=dict)
    npus: bool = False
    cann: bool = False
    docker: bool = False
    replaces_driver: bool = False


def evaluate(facts: Facts, need: Need) -> list[Check]:
    """Every check that applies, blocking ones first, then warnings."""
    order = {"block": 0, "warn": 1, "pass": 2}
    return sorted(_checks(facts, need), key=lambda check: order[check.severity])


def _checks(facts: Facts, need: Need) -> Iterator[Check]:
    yield _architecture(facts, need)
    yield _system(facts)
    if need.kernel_headers:
        yield _headers(facts)
    yield from _packages(facts, need)
    yield from _space(facts, need)
    yield _bus(facts, need)
    if need.npus:
        yield _npus(facts)
    if not need.replaces_driver:
        yield from _pair(facts)
    if need.cann and facts.cann is None:
        yield Check("cann-missing", "block", "CANN is not installed, so there is no atc.")
    if need.docker and facts.docker is None:
        yield Check("docker-missing", "block", "docker is not installed.")
    yield _raid(facts)
    yield from _nics(facts)


def _architecture(facts: Facts, need: Need) -> Check:
    if facts.architecture == need.architecture:
        return Check("architecture", "pass", f"The architecture is {need.architecture}.")
    return Check(
        "architecture", "block", f"The packages are for {need.architecture}; the machine is {facts.architecture}."
    )


def _system(facts: Facts) -> Check:
    if facts.os_id == "kylin":
        return Check("system", "pass", f"{facts.os_name}, kernel {facts.kernel}.")
    return Check("system", "warn", f"{facts.os_name or 'An unknown system'} is not Kylin V10; nobody has tried it.")


def _headers(facts: Facts) -> Check:
    if facts.kernel_headers:
        return Check("kernel-headers", "pass", f"Kernel {facts.kernel} has matching headers.")
    return Check(
        "kernel-headers",
        "block",
        f"The headers of kernel {facts.kernel} are missing; dkms can't build the driver without them.",
        Mend("install-os-packages", {"packages": ["kernel-devel"]}, "Install kernel headers"),
        {"kernel": facts.kernel},
    )


def _packages(facts: Facts, need: Need) -> Iterator[Check]:
    missing = [name for name in need.packages if name not in facts.packages]
    if missing:
        names = ", ".join(missing)
        yield Check(
            "packages-missing",
            "block",
            f"Missing packages: {names}.",
            Mend("install-os-packages", {"packages": missing}, f"Install {names}"),
            {"packages": missing},
        )
    elif need.packages:
        yield Check("packages-missing", "pass", f"Installed: {', '.join(need.packages)}.")


def _space(facts: Facts, need: Need) -> Iterator[Check]:
    for folder, wanted in need.free.items():
        holding = [system for system in facts.filesystems if PurePosixPath(folder).is_relative_to(system.mount)]
        system = max(holding, key=lambda one: len(one.mount), default=None)
        if system is None:
            yield Check("free-space", "warn", f"The free space of {folder} is not known.")
        elif system.free < wanted:
            yield Check(
                "free-space",
                "block",
                f"{system.free / GIB:.1f} GiB free for {folder}; the job needs {wanted / GIB:.1f} GiB.",
                values={"free": system.free, "wanted": wanted},
            )
        else:
            yield Check("free-space", "pass", f"{system.free / GIB:.1f} GiB free for {folder}.")


def _bus(facts: Facts, need: Need) -> Check:
    on_bus, listed = len(facts.pci_npus), len(facts.npus)
    if not on_bus:
        return Check("npus-on-bus", "block", "No Ascend NPU is on the PCI bus.")
    if listed and listed < on_bus:
        return Check(
            "npus-on-bus",
            "warn" if need.replaces_driver else "block",
            f"PCI lists {on_bus} NPUs, npu-smi {listed}.",
            values={"pci": on_bus, "listed": listed},
        )
    return Check("npus-on-bus", "pass", f"{on_bus} NPUs are on the PCI bus.")


def _npus(facts: Facts) -> Check:
    if not facts.npus:
        return Check(
            "npus-healthy",
            "block",
            f"npu-smi lists no NPU ({facts.npu_error or 'no reason given'}).",
            Mend("install-driver", {}, "Install driver and firmware"),
        )
    ill = [f"NPU {npu.npu_id} {npu.health}" for npu in facts.npus if npu.health != "OK"]
    if ill:
        return Check("npus-healthy", "warn", f"Not healthy: {', '.join(ill)}.")
    return Check("npus-healthy", "pass", f"{len(facts.npus)} NPUs listed, all healthy.")


def _pair(facts: Facts) -> Iterator[Check]:
    if facts.driver is None or facts.firmware is None:
        return
    driver, firmware = facts.driver, facts.firmware
    if not driver.ranges:
        yield Check("driver-firmware", "warn", f"Unknown: driver {driver.version} names no firmware range.")
    elif any(within(firmware.version, low, high) for low, high in driver.ranges):
        yield Check(
            "driver-firmware", "pass", f"Firmware {firmware.version} is in the range of driver {driver.version}."
        )
    else:
        ranges = ", ".join(f"{low} to {high}" for low, high in driver.ranges)
        yield Check(
            "driver-firmware",
            "block",
            f"Firmware {firmware.version} is outside the range of driver {driver.version} ({ranges}).",
            values={"driver": driver.version, "firmware": firmware.version, "ranges": ranges},
        )


def _raid(facts: Facts) -> Check:
    array = next((r for r in facts.raids if r.level == "raid5" and r.size >= 2 * TB), None)
    if array is None:
        return Check("raid", "warn", "No RAID5 array of 2 TB or more was found.")
    if not array.healthy:
        return Check("raid", "warn", f"{array.name} ({array.level}) has a missing member.")
    return Check("raid", "pass", f"{array.name}: RAID5, {array.size / TB:.1f} TB.")


def _nics(facts: Facts) -> Iterator[Check]:
    speeds = {nic.speed_mbps for nic in facts.nics if nic.up and nic.speed_mbps}
    for code, wanted in (("management-nic", 1000), ("service-nic", 25000)):
        if any(speed >= wanted for speed in speeds):
            yield Check(code, "pass", f"A link of {wanted // 1000} Gbit/s or more is up.")
        else:
            yield Check(code, "warn", f"No link of {wanted // 1000} Gbit/s is up.")
