"""What the name of a vendor's package says: its type, version and architecture.

Names as FACTS section 4 lists them: ``Ascend-hdk-<chip>-npu-driver_<version>_linux-<arch>.run``,
``Ascend-hdk-<chip>-npu-firmware_<version>.run``, ``Ascend-cann-toolkit_<version>_linux-<arch>.run``, rpm's
``name-version-release.arch.rpm`` and a wheel's ``name-version-python-abi-platform.whl``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_PATTERNS = (
    ("driver", r"Ascend-hdk-(?P<chip>.+)-npu-driver_(?P<version>[^_]+)_linux-(?P<architecture>\w+)\.run"),
    ("firmware", r"Ascend-hdk-(?P<chip>.+)-npu-firmware_(?P<version>[^_]+)\.run"),
    ("cann", r"Ascend-cann-toolkit_(?P<version>[^_]+)_linux-(?P<architecture>\w+)\.run"),
    ("mindspore", r"mindspore-(?P<version>[^-]+)-cp\d+-cp\d+\w*-[\w.]*linux\w*?_(?P<architecture>aarch64|x86_64)\.whl"),
    ("wheel", r"[^-]+-(?P<version>[^-]+)(?:-\d[^-]*)?-[^-]+-[^-]+-[^-]+\.whl"),
    ("os-package", r"(?P<package>.+?)-(?P<version>[^-]+-[^-]+)\.(?P<architecture>\w+)\.rpm"),
)


@dataclass(frozen=True)
class Recognized:
    """``type`` and ``version`` are empty for a name that follows no vendor's pattern."""

    type: str = ""
    version: str = ""
    meta: dict[str, str] = field(default_factory=dict)


def recognize(name: str) -> Recognized:
    """What a file's name says about it."""
    for type, pattern in _PATTERNS:
        found = re.fullmatch(pattern, name)
        if found:
            said = found.groupdict()
            return Recognized(type, said.pop("version"), said)
    return Recognized()
