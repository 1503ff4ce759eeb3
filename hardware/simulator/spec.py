"""What a simulated machine is: its name, its place in the rack, what is wrong with it, and where its files lie."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KERNEL = "4.19.90-24.4.v2101.ky10.aarch64"

# What can be wrong with a machine. ``=N`` names one of its NPUs; without it, the last one is meant.
FAULTS = {
    "no-headers": "the kernel headers are not installed",
    "no-shell": "there is no /bin/sh for a session",
    "small-disk": "/var/tmp, where packages are copied to, holds 4 MiB",
    "small-install-disk": "/usr/local/Ascend, where packages are installed, holds 1 MiB",
    "driver-fails": "the kernel module of the driver does not build",
    "npu-lost": "an NPU has fallen off the PCI bus",
    "npu-silent": "an NPU is on the PCI bus, but its driver does not list it",
    "npu-hot": "an NPU is too hot",
}


class FaultUnknown(ValueError):
    """There is no such fault."""


def check_fault(fault: str) -> str:
    """The fault as it is. Raises ``FaultUnknown`` with the names of those that there are."""
    name, _, npu = fault.partition("=")
    if name not in FAULTS or (npu and not (name.startswith("npu-") and npu.isdigit() and int(npu) < 4)):
        raise FaultUnknown(f"there is no fault {fault!r}; there are: {', '.join(FAULTS)}.")
    return fault


@dataclass
class MachineSpec:
    """One machine. ``number`` counts from 1; ``port`` and its BMC's are on the host's loopback."""

    name: str
    number: int
    port: int
    faults: list[str] = field(default_factory=list)
    bmc_port: int = 0

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "number": self.number, "port": self.port, "faults": self.faults,
                "bmc_port": self.bmc_port}  # fmt: skip

    def has(self, fault: str) -> bool:
        return any(mine.partition("=")[0] == fault for mine in self.faults)


@dataclass(frozen=True)
class Home:
    """The folder of one machine on the host."""

    folder: Path

    @property
    def disk(self) -> Path:
        """Its root folder; what is written there survives a restart."""
        return self.folder / "disk"

    @property
    def simulated(self) -> Path:
        """Bound at /usr/local/simulated: stand-ins, and what they need to know. Made anew at each boot."""
        return self.folder / "simulated"

    @property
    def host_key(self) -> Path:
        return self.folder / "ssh_host_ed25519_key"

    @property
    def bmc_certificate(self) -> Path:
        """Key and certificate of its management board."""
        return self.folder / "bmc.pem"

    @property
    def console(self) -> Path:
        """What its first processes say: a real machine's serial console."""
        return self.folder / "console.log"

    @property
    def pid(self) -> Path:
        return self.folder / "pid"

    @property
    def spec(self) -> Path:
        return self.folder / "machine.json"

    def load(self) -> MachineSpec | None:
        return MachineSpec(**json.loads(self.spec.read_text())) if self.spec.exists() else None

    def store(self, spec: MachineSpec) -> None:
        write_whole(self.spec, json.dumps(spec.to_json()))
        self.simulated.mkdir(exist_ok=True)
        write_whole(self.simulated / "faults", "".join(f"{fault}\n" for fault in spec.faults), 0o644)


def write_whole(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a file so that a reader sees all of it or what was there before."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.chmod(mode)
    new.replace(path)
