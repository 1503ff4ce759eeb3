"""The wheels that simulated machines take: a stand-in for MindSpore, and empty ones for what it needs.

They are wheels that pip checks, resolves and installs; the packages in them hold no code of their namesakes.
"""

from __future__ import annotations

import base64
import hashlib
import random
import zipfile
from dataclasses import dataclass
from pathlib import Path

_MINDSPORE = Path(__file__).resolve().parent / "mindspore"
MIB = 1024 * 1024
VERSION, PYTHON = "2.4.10", "cp39"


@dataclass(frozen=True)
class Wheel:
    """``tag`` as in the file's name; ``module`` is what it is imported by."""

    name: str
    version: str
    tag: str
    module: str
    requires: tuple[str, ...] = ()

    @property
    def file_name(self) -> str:
        return f"{self.name.replace('-', '_')}-{self.version}-{self.tag}.whl"


_BINARY = f"{PYTHON}-{PYTHON}-manylinux_2_17_aarch64.manylinux2014_aarch64"
_ABI3 = "cp38-abi3-manylinux_2_17_aarch64.manylinux2014_aarch64"

WHEELS = (
    Wheel(
        "mindspore",
        VERSION,
        f"{PYTHON}-{PYTHON}-linux_aarch64",
        "mindspore",
        (
            "numpy<2.0.0,>=1.20.0", "protobuf>=3.13.0", "asttokens>=2.0.4", "pillow>=6.2.0", "scipy>=1.5.4",
            "packaging>=20.0", "psutil>=5.6.1", "astunparse>=1.6.3", "safetensors>=0.4.0",
        ),
    ),
    Wheel("numpy", "1.26.4", _BINARY, "numpy"),
    Wheel("protobuf", "3.20.3", "py2.py3-none-any", "google"),
    Wheel("asttokens", "2.4.1", "py2.py3-none-any", "asttokens", ("six>=1.12.0",)),
    Wheel("pillow", "10.4.0", _BINARY, "PIL"),
    Wheel("scipy", "1.11.4", _BINARY, "scipy", ("numpy<1.28.0,>=1.21.6",)),
    Wheel("packaging", "24.1", "py3-none-any", "packaging"),
    Wheel("psutil", "5.9.8", _ABI3, "psutil"),
    Wheel("astunparse", "1.6.3", "py2.py3-none-any", "astunparse", ("wheel<1.0,>=0.23.0", "six<2.0,>=1.6.1")),
    Wheel("safetensors", "0.4.5", _ABI3, "safetensors"),
    Wheel("six", "1.16.0", "py2.py3-none-any", "six"),
    Wheel("wheel", "0.44.0", "py3-none-any", "wheel"),
    Wheel("attrs", "24.2.0", "py3-none-any", "attrs"),
    Wheel("decorator", "5.1.1", "py3-none-any", "decorator"),
    Wheel("sympy", "1.13.3", "py3-none-any", "sympy", ("mpmath<1.4,>=1.1.0",)),
    Wheel("mpmath", "1.3.0", "py3-none-any", "mpmath"),
)  # fmt: skip


def write_wheels(folder: Path) -> list[Path]:
    """Write all of them; the same bytes every time."""
    made = []
    for wheel in WHEELS:
        path = folder / wheel.file_name
        files = {f"{wheel.module}/__init__.py": f'"""Stands for {wheel.name} on simulated machines."""\n'.encode()}
        if wheel.name == "mindspore":
            files = {f"mindspore/{file.name}": file.read_bytes() for file in sorted(_MINDSPORE.glob("*.py"))}
            files["mindspore/lib/filler"] = random.Random(wheel.name).randbytes(2 * MIB)
        _write(path, wheel, files)
        made.append(path)
    return made


def _write(path: Path, wheel: Wheel, files: dict[str, bytes]) -> None:
    about = f"{wheel.name.replace('-', '_')}-{wheel.version}.dist-info"
    metadata = [
        "Metadata-Version: 2.1", f"Name: {wheel.name}", f"Version: {wheel.version}",
        "Summary: A stand-in for simulated machines; it holds none of the code of its namesake.",
        *(f"Requires-Dist: {need}" for need in wheel.requires),
    ]  # fmt: skip
    tags = "".join(
        f"Tag: {'-'.join((python, *wheel.tag.split('-')[1:2], platform))}\n"
        for python in wheel.tag.split("-")[0].split(".")
        for platform in wheel.tag.split("-")[2].split(".")
    )
    pure = str(wheel.tag.endswith("any")).lower()
    head = f"Wheel-Version: 1.0\nGenerator: hardware.simulator\nRoot-Is-Purelib: {pure}\n"
    files = {
        **files,
        f"{about}/METADATA": ("\n".join(metadata) + "\n").encode(),
        f"{about}/WHEEL": (head + tags).encode(),
    }
    rows = [f"{name},sha256={_digest(content)},{len(content)}\n" for name, content in files.items()]
    files[f"{about}/RECORD"] = "".join([*rows, f"{about}/RECORD,,\n"]).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
