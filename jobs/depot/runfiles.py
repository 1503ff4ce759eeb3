"""What a vendor's .run says of itself: the ``version.info`` in its payload, or in the script in front of it.

A .run is a shell script with a compressed tar behind it (makeself). Nothing of it is executed.
"""

from __future__ import annotations

import re
import tarfile
import zlib
from pathlib import Path
from typing import BinaryIO

from hardware.npu.versions import assignments

TYPES = ("driver", "firmware", "cann")
# What compatibility is judged by; the rest of the file is of no use here.
FIELDS = (
    "version", "innerversion", "package_version", "compatible_version", "compatible_version_fw",
    "compatible_version_drv",
)  # fmt: skip
_HEAD = 4 << 20
_NAMES = re.compile(r"(?:^|/)(?:version\.info|ascend_\w+_install\.info)$")
_LINE = re.compile(rb"^(?:%s)=[^\x00\n]{0,4000}$" % "|".join(FIELDS).encode(), re.M | re.I)
# The file lies near the front; a payload of gigabytes is not unpacked to look for it.
_MEMBERS, _LARGEST = 400, 1 << 16


def version_info(path: Path) -> dict[str, str]:
    """The fields by their names in lower case; empty where the package does not say. Never raises on odd bytes."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
            found = _in_payload(file, head) or assignments(b"\n".join(_LINE.findall(head)))
    except OSError:
        return {}
    return {name: found[name] for name in FIELDS if found.get(name)} if "compatible_version" in str(found) else {}


def _in_payload(file: BinaryIO, head: bytes) -> dict[str, str]:
    start = head.find(b"\x1f\x8b\x08")
    if start < 0:
        return {}
    file.seek(start)
    try:
        with tarfile.open(fileobj=file, mode="r|gz") as archive:
            for count, member in enumerate(archive):
                if count >= _MEMBERS:
                    break
                if member.isfile() and member.size <= _LARGEST and _NAMES.search(member.name):
                    content = archive.extractfile(member)
                    return assignments(content.read()) if content else {}
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError):
        return {}
    return {}
