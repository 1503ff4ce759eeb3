"""The files in which driver, firmware and CANN say what they are: ``version.info`` and ``*install.info``.

Both are ``key=value`` lines. A driver names the firmware that it runs with (``compatible_version_fw``), a firmware the
drivers (``compatible_version_drv``), CANN the generations of drivers (``compatible_version``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from hardware.npu.text import lines

# A file names the versions of its counterparts under these keys.
_COUNTERPARTS = {"fw": "compatible_version_fw", "drv": "compatible_version_drv", "": "compatible_version"}
_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][\w.-]*)\s*=\s*(.*?)\s*$")
_RANGE = re.compile(r"\[\s*([^\],\[]+?)\s*(?:,\s*([^\]\[]+?)\s*)?\]")

Range = tuple[str, str]


@dataclass(frozen=True)
class VersionInfo:
    """``ranges``: for ``fw``, ``drv`` or ``""`` (whatever the file is of) the pairs of lowest and highest version that
    fit. ``fields`` has every line by its key in lower case.
    """

    version: str | None = None
    package_name: str | None = None
    package_version: str | None = None
    inner_version: str | None = None
    architecture: str | None = None
    path: str | None = None
    ranges: dict[str, tuple[Range, ...]] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class InstallInfo:
    """``/etc/ascend_install.info``. ``complete`` is ``None`` where the installer did not say (before 24.1)."""

    user: str | None = None
    group: str | None = None
    driver_path: str | None = None
    driver_type: str | None = None
    firmware_path: str | None = None
    firmware_type: str | None = None
    for_all: bool | None = None
    complete: bool | None = None
    fields: dict[str, str] = field(default_factory=dict)


def assignments(text: str | bytes) -> dict[str, str]:
    """``key=value`` lines by key in lower case, quotes taken off; the first of several counts."""
    found: dict[str, str] = {}
    for line in lines(text):
        match = _LINE.match(line)
        if match:
            value = match[2]
            if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
                value = value[1:-1]
            found.setdefault(match[1].lower(), value)
    return found


def ranges(text: str) -> tuple[Range, ...]:
    """``[7.0.0,7.1.99],[8.0]`` as pairs; a single version is both its ends. None of them where one can't be read: what
    is left would shut out versions that fit.
    """
    if _RANGE.sub("", text).strip(", \t"):
        return ()
    return tuple((low, high or low) for low, high in _RANGE.findall(text))


def read_version_info(text: str | bytes) -> VersionInfo:
    """``version.info`` of driver or firmware, ``ascend_*_install.info`` of CANN. What is not there stays ``None``."""
    said = assignments(text)
    return VersionInfo(
        version=said.get("version") or None,
        package_name=said.get("package_name") or None,
        package_version=said.get("package_version") or None,
        inner_version=said.get("innerversion") or None,
        architecture=said.get("arch") or None,
        path=said.get("path") or None,
        ranges={name: ranges(said[key]) for name, key in _COUNTERPARTS.items() if key in said},
        fields=said,
    )


def read_install_info(text: str | bytes) -> InstallInfo:
    said = assignments(text)

    def flag(key: str, yes: str) -> bool | None:
        return said[key].lower() == yes if said.get(key) else None

    return InstallInfo(
        user=said.get("username") or None,
        group=said.get("usergroup") or None,
        driver_path=said.get("driver_install_path_param") or None,
        driver_type=said.get("driver_install_type") or None,
        firmware_path=said.get("firmware_install_path_param") or None,
        firmware_type=said.get("firmware_install_type") or None,
        for_all=flag("driver_install_for_all", "yes"),
        complete=flag("driver_install_status", "complete"),
        fields=said,
    )
