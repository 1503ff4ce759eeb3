"""A container's view: its own root, the volumes and devices it was given, and of the host what it cannot do without."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from pathlib import Path

from hardware.simulator.docker.store import Container
from hardware.simulator.namespaces import (
    NEW_MOUNTS,
    NODEV,
    NOEXEC,
    NOSUID,
    PRIVATE,
    RECURSIVE,
    bind,
    mount,
)

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_ETC = ("hosts", "hostname", "resolv.conf", "localtime", "ld.so.cache", "simulated-machine")


def assemble(container: Container) -> None:
    """Leaves the machine's mount namespace and puts the container's root together; chroot is for the process to do.

    Raises OSError that names what could not be mounted.
    """
    if ctypes.CDLL(None, use_errno=True).unshare(NEW_MOUNTS) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"unshare: {os.strerror(number)}")
    mount("none", "/", flags=RECURSIVE | PRIVATE)
    root = container.root
    bind(root, root, writable=True)
    for name in ("proc", "sys"):
        (root / name).mkdir(exist_ok=True)
        bind(f"/{name}", root / name, writable=True)
    _devices(container)
    for name in ("tmp", "run", "root", "var/tmp", "etc"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in _ETC:
        _show(Path("/etc", name), root / "etc" / name)
    if container.host_interpreter:
        _interpreter(root)
    # Its faults reach what runs in a container, too.
    _show(Path("/usr/local/simulated"), root / "usr/local/simulated")
    for source, target, mode in container.volumes:
        _volume(root, Path(source), target, mode)


def _devices(container: Container) -> None:
    dev = container.root / "dev"
    dev.mkdir(exist_ok=True)
    mount("tmpfs", dev, "tmpfs", NOSUID, "mode=0755")
    for name in _DEVICES:
        _node(Path("/dev", name), dev / name)
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        (dev / name).symlink_to(target if name == "fd" else f"/proc/self/{target}")
    (dev / "shm").mkdir()
    size = container.shm_size if re.fullmatch(r"\d+[kKmMgG]?", container.shm_size) else "64m"
    mount("tmpfs", dev / "shm", "tmpfs", NOSUID | NODEV | NOEXEC, f"mode=1777,size={size}")
    nodes = container.nodes
    if container.privileged:
        nodes = [[str(path), str(path)] for path in Path("/dev").glob("*davinci*")] + nodes
    for host, inside in nodes:
        node = container.root / inside.lstrip("/")
        node.parent.mkdir(parents=True, exist_ok=True)
        _node(Path(host), node)


def _node(host: Path, target: Path) -> None:
    if host.exists() and not target.exists():
        target.touch()
        bind(host, target, writable=True)


def _interpreter(root: Path) -> None:
    """Programs, libraries and the virtual environment of the host, read-only; of the checkout nothing."""
    for name in ("bin", "sbin", "lib", "lib64", "lib32", "libx32"):
        _show(Path("/", name), root / name)
    for entry in Path("/usr").iterdir():
        if entry.name != "local":
            _show(entry, root / "usr" / entry.name)
    base = Path(sys.base_prefix)
    own = [base]
    if base == Path("/usr/local"):
        own = [*base.glob("bin/python3*"), *base.glob("lib/libpython3*"), *base.glob("lib/python3*")]
    for path in [Path(sys.prefix), *own]:
        if not path.is_relative_to("/usr") or path.is_relative_to("/usr/local"):
            _show(path, root / str(path).lstrip("/"))
    wrapper = root / "usr/local/bin/python3"
    if not wrapper.exists():
        wrapper.parent.mkdir(parents=True, exist_ok=True)
        wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        wrapper.chmod(0o755)


def _show(host: Path, target: Path) -> None:
    if host.is_symlink() and not target.exists() and not target.is_symlink():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(host.readlink())
    elif host.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        bind(host, target)
    elif host.is_file() and os.access(host, os.R_OK):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
        bind(host, target)


def _volume(root: Path, source: Path, inside: str, mode: str) -> None:
    """As docker does: a source that is missing becomes an empty folder."""
    if not source.exists():
        source.mkdir(parents=True)
    target = root / inside.lstrip("/")
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch(exist_ok=True)
    bind(source, target, writable=mode != "ro")
