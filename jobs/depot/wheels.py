"""What a Python wheel says of itself: its name, the interpreters and platforms it is for, and what it needs."""

from __future__ import annotations

import zipfile
from email.parser import Parser
from pathlib import Path
from typing import Any

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from jobs.failures import JobFailed

WHEELS = ("wheel", "mindspore")


def read_wheel(path: Path, name: str) -> dict[str, Any]:
    """``package`` (canonical), ``tags`` as in its file name, ``requires`` (PEP 508) and ``requires_python``.

    Raises ``JobFailed`` when the file is no wheel, or its name is not a wheel's.
    """
    try:
        package, _, _, tags = parse_wheel_filename(name)
        with zipfile.ZipFile(path) as archive:
            # A package may carry the metadata of others deeper down; its own lies at the top.
            metadata = next(
                entry for entry in archive.namelist() if entry.count("/") == 1 and entry.endswith(".dist-info/METADATA")
            )
            said = Parser().parsestr(archive.read(metadata).decode("utf-8", "replace"), headersonly=True)
    except (InvalidWheelFilename, zipfile.BadZipFile, StopIteration) as wrong:
        raise JobFailed(
            "wheel-unreadable",
            f"{name} is not a wheel that can be read; nothing was stored.",
            "Copy the file again, under the name that it was published with.",
        ) from wrong
    return {
        "package": str(canonicalize_name(package)),
        "tags": sorted(str(tag) for tag in tags),
        "requires": said.get_all("Requires-Dist", []),
        "requires_python": said.get("Requires-Python", ""),
    }
