"""The packages that the simulated machines take: .run files, rpms and wheels, with the names of real ones.

They are made of the texts in ``installers/`` and of filler, always the same bytes. They refuse to run on anything but
a simulated machine.
"""

from __future__ import annotations

import hashlib
import io
import random
import re
import struct
import tarfile
from dataclasses import dataclass
from pathlib import Path

from hardware.simulator.spec import KERNEL
from hardware.simulator.wheels import write_wheels

_INSTALLERS = Path(__file__).resolve().parent / "installers"
MIB = 1024 * 1024

# Versions that were seen together (FACTS section 5), with the layout of real version files.
_DRIVER_INFO = """\
Version=24.1.0
ascendhal_version=7.35.23
aicpu_version=1.0
tdt_version=1.0
log_version=1.0
prof_version=2.0
dvppkernels_version=1.1
tsfw_version=1.0
Innerversion=V100R001C20SPC001B251
compatible_version=[V100R001C15],[V100R001C17],[V100R001C18],[V100R001C19],[V100R001C20]
compatible_version_fw=[7.0.0,7.5.99]
package_version=24.1.0"""
_FIRMWARE_INFO = """\
Version=7.5.0.2.220
firmware_version=1.0
package_version=24.1.0
compatible_version_drv=[24.1.rc1,24.1.rc3.],[24.1.0,24.1.0.]"""
_CANN_INFO = """\
package_name=Ascend-cann-toolkit
version=8.0.0
innerversion=V100R001C20SPC001B251
compatible_version=[V100R001C15],[V100R001C17],[V100R001C18],[V100R001C19],[V100R001C20]
arch=aarch64
os=linux"""

HEADERS = f"kernel-devel-{KERNEL}.rpm"
PYTHON = "python39-3.9.9-1.ky10.aarch64.rpm"


@dataclass(frozen=True)
class RunPackage:
    """``body`` is its script in ``installers/``; ``filler`` in bytes."""

    name: str
    body: str
    version: str
    version_info: str
    filler: int


RUN_PACKAGES = (
    RunPackage("Ascend-hdk-910-npu-driver_24.1.0_linux-aarch64.run", "driver.sh", "24.1.0", _DRIVER_INFO, 6 * MIB),
    RunPackage("Ascend-hdk-910-npu-firmware_7.5.0.2.220.run", "firmware.sh", "7.5.0.2.220", _FIRMWARE_INFO, 2 * MIB),
    RunPackage("Ascend-cann-toolkit_8.0.0_linux-aarch64.run", "cann.sh", "8.0.0", _CANN_INFO, 8 * MIB),
)


def write_all(folder: Path) -> list[Path]:
    """Write every package into ``folder``; returns where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for package in RUN_PACKAGES:
        path = folder / package.name
        path.write_bytes(run_file(package))
        path.chmod(0o755)
        made.append(path)
    for name, content in ((HEADERS, _headers()), (PYTHON, _python())):
        path = folder / name
        path.write_bytes(content)
        made.append(path)
    return [*made, *write_wheels(folder)]


def run_file(package: RunPackage) -> bytes:
    """The bytes of a .run: a shell script with its payload behind it, which it checks before it does anything."""
    payload = random.Random(package.name).randbytes(package.filler)
    text = "".join((_INSTALLERS / name).read_text() for name in ("head.sh", package.body))
    firmware = re.search(r"^compatible_version_fw=\[([^,]+),([^\]]+)\]", package.version_info, re.M)
    low, high = firmware.groups() if firmware else ("", "")
    values = {
        "NAME": package.name,
        "VERSION": package.version,
        "VERSION_INFO": package.version_info,
        "ARCH": "aarch64",
        "OCCUPIES": "4",
        "FIRMWARE_LOW": low,
        "FIRMWARE_HIGH": high,
        "SIZE": str(len(payload)),
        "SHA256": hashlib.sha256(payload).hexdigest(),
    }
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return f"{text}exit 0\n".encode() + payload


def _headers() -> bytes:
    version, release = KERNEL.removesuffix(".aarch64").split("-", 1)
    files = {
        f"usr/src/kernels/{KERNEL}/Makefile": "VERSION = 4\nPATCHLEVEL = 19\nSUBLEVEL = 90\n",
        f"usr/src/kernels/{KERNEL}/include/generated/utsrelease.h": f'#define UTS_RELEASE "{KERNEL}"\n',
    }
    links = {f"lib/modules/{KERNEL}/build": f"/usr/src/kernels/{KERNEL}"}
    return rpm_file("kernel-devel", version, release, "aarch64", files, links)


def _python() -> bytes:
    """The system's own interpreter is older than what MindSpore's wheels are for."""
    files = {"opt/python39/share/doc/README": "Python 3.9 beside the system's, for simulated machines.\n"}
    links = {"opt/python39/bin/python3.9": "/usr/local/simulated/software/python39"}
    return rpm_file("python39", "3.9.9", "1.ky10", "aarch64", files, links)


def rpm_file(
    name: str, version: str, release: str, architecture: str, files: dict[str, str], links: dict[str, str]
) -> bytes:
    """An rpm for the stand-in rpm: the lead of a real one, four lines, and a tar where a real one has a cpio."""
    label = f"{name}-{version}-{release}".encode()[:65]
    numbers = {"aarch64": 19, "x86_64": 1, "noarch": 0}
    lead = struct.pack(">4sBBhh66shh16x", b"\xed\xab\xee\xdb", 3, 0, 0, numbers[architecture], label, 1, 5)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
        for path, target in links.items():
            entry = tarfile.TarInfo(path)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return lead + f"simulated {name} {version} {release} {architecture}\n".encode() + packed.getvalue()
