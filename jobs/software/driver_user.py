"""The user and group that a driver's files and device nodes belong to (FACTS section 4)."""

from __future__ import annotations

from jobs.plan import RunCommand, Step

_COMMAND = (
    "getent group HwHiAiUser >/dev/null || groupadd HwHiAiUser; "
    "id HwHiAiUser >/dev/null 2>&1 || "
    "useradd -g HwHiAiUser -d /home/HwHiAiUser -m HwHiAiUser -s /bin/bash; "
    # A user of that name that somebody made without the group: the installer refuses it (0x0096).
    "id -Gn HwHiAiUser | tr ' ' '\\n' | grep -qx HwHiAiUser || usermod -aG HwHiAiUser HwHiAiUser; "
    "id HwHiAiUser"
)
_WRITES = ["/etc/passwd", "/etc/shadow", "/etc/group", "/home/HwHiAiUser"]


def create_user() -> Step:
    """Makes what is missing of them, and nothing where both are there."""
    return Step("user", "Create user HwHiAiUser", RunCommand(_COMMAND, timeout_s=60, repeatable=True, writes=_WRITES))
