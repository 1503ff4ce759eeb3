"""What a driver is built and installed with: the headers of the running kernel, dkms, gcc, make, and small tools."""

from __future__ import annotations

from collections.abc import Iterator

from hardware.inventory.facts import Facts
from hardware.inventory.preflight.records import Check, Mend, Need, gettext_noop, say

# Tools that the driver's installer looks for -> the rpm that has them.
_TOOL_PACKAGES = {
    "awk": "gawk", "chattr": "e2fsprogs", "chkconfig": "chkconfig", "find": "findutils", "grep": "grep",
    "ifconfig": "net-tools", "ldconfig": "glibc", "lsattr": "e2fsprogs", "lspci": "pciutils", "modinfo": "kmod",
    "modprobe": "kmod", "ps": "procps-ng", "rev": "util-linux", "sed": "sed", "systemctl": "systemd",
    "udevadm": "systemd-udev", "useradd": "shadow", "which": "which",
}  # fmt: skip


def kernel_headers(facts: Facts, need: Need) -> Iterator[Check]:
    if not need.kernel_headers:
        return
    kernel = facts.kernel or "?"
    if facts.kernel_headers:
        yield say("kernel-headers", "pass", gettext_noop("Kernel %(kernel)s has matching headers."), kernel=kernel)
        return
    sentence = gettext_noop("The headers of kernel %(kernel)s are missing; dkms can’t build the driver without them.")
    mend = Mend("install-os-packages", {"packages": ["kernel-devel"]}, gettext_noop("Install kernel headers"))
    yield say("kernel-headers", "block", sentence, mend, kernel=kernel)


def packages(facts: Facts, need: Need) -> Iterator[Check]:
    missing = [name for name in need.packages if name not in facts.packages]
    if missing:
        names = ", ".join(missing)
        mend = Mend("install-os-packages", {"packages": missing}, f"Install {names}")
        sentence = gettext_noop("Missing packages: %(names)s.")
        yield say("packages-missing", "block", sentence, mend, packages=missing, names=names)
    elif need.packages:
        sentence = gettext_noop("Installed: %(names)s.")
        yield say("packages-missing", "pass", sentence, packages=list(need.packages), names=", ".join(need.packages))


def tools(facts: Facts, need: Need) -> Iterator[Check]:
    """What the installer would refuse to begin without (``The list of missing tools``)."""
    if not need.driver_tools or facts.missing_tools is None:
        return
    if not facts.missing_tools:
        yield say("tools-missing", "pass", gettext_noop("Every tool that the driver’s installer calls is there."))
        return
    names = ", ".join(facts.missing_tools)
    wanted = list(dict.fromkeys(_TOOL_PACKAGES.get(tool, "coreutils") for tool in facts.missing_tools))
    mend = Mend("install-os-packages", {"packages": wanted}, f"Install {', '.join(wanted)}")
    sentence = gettext_noop("Tools that the driver’s installer calls are missing: %(names)s.")
    yield say("tools-missing", "block", sentence, mend, names=names, tools=list(facts.missing_tools), packages=wanted)
