"""The root folder of a simulated machine: its own files, and the host's programs shown in it, read-only.

``seed`` makes what a fresh installation has, once. ``mount_root`` runs in the machine's own mount namespace at every
boot: its mounts are gone when the last of its processes is.
"""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import sys
from pathlib import Path

from hardware.simulator import system_files
from hardware.simulator.faults import standing
from hardware.simulator.namespaces import NODEV, NOEXEC, NOSUID, bind, mount
from hardware.simulator.spec import KERNEL, Home, MachineSpec

CHECKOUT = Path(__file__).resolve().parents[2]
STANDINS = Path(__file__).resolve().parent / "standins"
# What an installer puts on PATH; until then a machine does not have it.
SOFTWARE = {"npu-smi", "hccn_tool", "atc", "msprof", "converter_lite", "msmodelslim", "python39"}
# An interpreter of the host must not be taken for one of the machine's: only what its packages brought is there.
_INTERPRETER = """\
#!/bin/sh
[ -x /opt/python{0}/bin/python3.{1} ] && exec /opt/python{0}/bin/python3.{1} "$@"
echo "python3.{1}: command not found" >&2
exit 127
"""
# grep where the kernel has no /proc/mdstat, and is asked for it among others.
_GREP = """\
#!/bin/sh
case " $* " in
  *" /proc/mdstat "*) /bin/grep "$@" /usr/local/simulated/proc/mdstat | sed 's,^/usr/local/simulated/proc/,/proc/,' ;;
  *) exec /bin/grep "$@" ;;
esac
"""
# Folders of /usr that are a machine's own.
_OWN = ("usr/local", "usr/src", "usr/lib/modules")
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


def seed(home: Home, spec: MachineSpec) -> None:
    """Make a bare machine's files, if it has none yet."""
    disk = home.disk
    if (home.folder / "seeded").exists():
        return
    own = [
        *_OWN,
        "etc/profile.d",
        "home",
        "data",
        "opt",
        "srv",
        "mnt",
        "media",
        "boot",
        "usr/local/sbin",
        "usr/local/bin",
    ]
    state = ["var/lib/rpm", "var/lib/docker/containers", "var/log", "var/cache", "var/spool"]
    for name in [*own, *state, f"usr/lib/modules/{KERNEL}", "usr/src/kernels", "usr/local/Ascend"]:
        (disk / name).mkdir(parents=True, exist_ok=True)
    for name, mode in (("root", 0o700), ("tmp", 0o1777), ("var/tmp", 0o1777)):
        (disk / name).mkdir(exist_ok=True)
        (disk / name).chmod(mode)
    for name, text in system_files.etc(spec).items():
        (disk / "etc" / name).write_text(text)
    # What the host's programs look for in /etc: where its libraries are, and which awk is the awk.
    for name in ("ld.so.cache", "ld.so.conf", "localtime", "protocols", "services"):
        if Path("/etc", name).is_file():
            shutil.copyfile(Path("/etc", name), disk / "etc" / name)
    (disk / "etc/alternatives").mkdir(exist_ok=True)
    (disk / "var/lib/rpm/packages").write_text(system_files.PACKAGES)
    if not spec.has("no-headers"):
        headers = disk / "usr/src/kernels" / KERNEL
        headers.mkdir()
        (headers / "Makefile").write_text("VERSION = 4\nPATCHLEVEL = 19\nSUBLEVEL = 90\n")
        (disk / "usr/lib/modules" / KERNEL / "build").symlink_to(f"/usr/src/kernels/{KERNEL}")
        with (disk / "var/lib/rpm/packages").open("a") as packages:
            packages.write("kernel-devel 4.19.90 24.4.v2101.ky10 aarch64\n")
    (home.folder / "seeded").touch()


def prepare(home: Home, spec: MachineSpec, boot_id: str) -> None:
    """Write what is bound into the machine for this boot."""
    simulated = home.simulated
    for name in ("bin", "software"):
        shutil.rmtree(simulated / name, ignore_errors=True)
        (simulated / name).mkdir(parents=True)
    for standin in STANDINS.iterdir():
        if standin.is_file() and not standin.name.startswith((".", "_")) and standin.suffix == "":
            _wrap(standin, simulated / ("software" if standin.name in SOFTWARE else "bin") / standin.name)
    for minor in range(6, 16):
        _write(simulated / f"bin/python3.{minor}", _INTERPRETER.format(f"3{minor}", minor), 0o755)
    lines = [f"{link.name} {link.speed} {link.address} {link.mac}\n" for link in system_files.links(spec.number)]
    _write(simulated / "links", "".join(lines))
    _write(simulated / "boot_id", f"{boot_id}\n")
    _write(simulated / "osrelease", f"{KERNEL}\n")
    for name, text in system_files.proc(spec).items():
        _write(simulated / "proc" / name, text)
    for name, text in system_files.network(spec).items():
        _write(home.disk / "sys/class/net" / name, text)
    if not Path("/proc/mdstat").exists():
        # A kernel without software RAID has no such file, and none can be put into /proc.
        _write(
            simulated / "bin/cat",
            '#!/bin/sh\n[ "$*" = /proc/mdstat ] && set -- /usr/local/simulated/proc/mdstat\nexec /bin/cat "$@"\n',
            0o755,
        )
        _write(simulated / "bin/grep", _GREP, 0o755)


def _wrap(standin: Path, target: Path) -> None:
    """A command that runs a stand-in: with this very interpreter, if it is one in Python."""
    with standin.open("rb") as file:
        shebang = file.readline().decode(errors="replace").split()
    runner = "/bin/sh"
    if any("python" in word for word in shebang):
        options = [word for word in shebang if word.startswith("-") and word != "-S"]
        runner = shlex.join([sys.executable, *options])
    _write(target, f'#!/bin/sh\nexec {runner} {shlex.quote(str(standin))} "$@"\n', 0o755)


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def mount_root(home: Home, spec: MachineSpec) -> None:
    """Put the root folder together. ``home.disk`` is a mount afterwards."""
    disk = home.disk
    bind(disk, disk, writable=True)
    for name in ("bin", "sbin", "lib", "lib64", "lib32", "libx32"):
        host = Path("/", name)
        if host.is_symlink():
            if not (disk / name).is_symlink():
                (disk / name).symlink_to(host.readlink())
        elif host.is_dir():
            _show(host, disk / name)
    for host in (*Path("/usr").iterdir(), *Path("/usr/lib").iterdir()):
        name = str(host.relative_to("/"))
        if name not in (*_OWN, "usr/lib"):
            _show(host, disk / name)
    if Path("/etc/alternatives").is_dir():
        bind("/etc/alternatives", disk / "etc/alternatives")
    (disk / "usr/local/simulated").mkdir(parents=True, exist_ok=True)
    bind(home.simulated, disk / "usr/local/simulated")
    for folder in dict.fromkeys([CHECKOUT / "hardware", CHECKOUT / "jobs", Path(sys.prefix), *_interpreter()]):
        if not folder.is_relative_to("/usr") or folder.is_relative_to("/usr/local"):
            _show(folder, disk / folder.relative_to("/"))
    if spec.has("small-disk"):
        mount("tmpfs", disk / "var/tmp", "tmpfs", NOSUID | NODEV, "size=4m,mode=1777")
    if spec.has("small-install-disk"):
        mount("tmpfs", disk / "usr/local/Ascend", "tmpfs", NOSUID | NODEV, "size=1m,mode=0755")
    _mount_system(home)


def _interpreter() -> list[Path]:
    """Where the interpreter of the virtual environment lies; of one in /usr/local only its own files are shown."""
    base = Path(sys.base_prefix)
    if base != Path("/usr/local"):
        # Some installers of Python name a version by a link to its folder.
        return [base, base.resolve()]
    return [*base.glob("bin/python3*"), *base.glob("lib/libpython3*"), *base.glob("lib/python3*")]


def _show(host: Path, target: Path) -> None:
    """Show a file or folder of the host, read-only; a link is made again."""
    if host.is_symlink():
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.is_symlink():
            target.symlink_to(host.readlink())
    elif host.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        bind(host, target)
    elif host.is_file() and os.access(host, os.R_OK):
        target.touch()
        bind(host, target)


def _mount_system(home: Home) -> None:
    disk = home.disk
    for name in ("proc", "dev", "run", "sys/devices/system/cpu"):
        (disk / name).mkdir(parents=True, exist_ok=True)
    mount("proc", disk / "proc", "proc", NOSUID | NODEV | NOEXEC)
    # The sysctls are the host's: they are for reading.
    bind(disk / "proc/sys", disk / "proc/sys")
    bind(home.simulated / "boot_id", disk / "proc/sys/kernel/random/boot_id")
    bind(home.simulated / "osrelease", disk / "proc/sys/kernel/osrelease")
    for file in (home.simulated / "proc").iterdir():
        if (disk / "proc" / file.name).exists():
            bind(file, disk / "proc" / file.name)
    # The true processors, so that what really computes here starts as many threads as it can use.
    if Path("/sys/devices/system/cpu").is_dir():
        bind("/sys/devices/system/cpu", disk / "sys/devices/system/cpu")
    mount("tmpfs", disk / "run", "tmpfs", NOSUID | NODEV, "mode=0755")
    # Docker's daemon is its stand-in's: nothing answers here, but a machine with docker has it.
    os.mknod(disk / "run/docker.sock", stat.S_IFSOCK | 0o660)
    if not (disk / "var/run").is_symlink():
        (disk / "var/run").symlink_to("/run")
    mount("tmpfs", disk / "dev", "tmpfs", NOSUID, "mode=0755")
    for name in filter(lambda name: Path("/dev", name).exists(), _DEVICES):
        (disk / "dev" / name).touch()
        bind(Path("/dev", name), disk / "dev" / name, writable=True)
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        (disk / "dev" / name).symlink_to(target if name == "fd" else f"/proc/self/{target}")
    for name in ("shm", "pts"):
        (disk / "dev" / name).mkdir()
    mount("tmpfs", disk / "dev/shm", "tmpfs", NOSUID | NODEV, "mode=1777")
    mount("devpts", disk / "dev/pts", "devpts", NOSUID | NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
    (disk / "dev/ptmx").symlink_to("pts/ptmx")
    _load_driver(disk)


def _load_driver(disk: Path) -> None:
    """What a boot does once a driver is installed: the module is loaded, and its device nodes are there."""
    version = disk / "usr/local/Ascend/driver/version.info"
    if not version.exists():
        return
    (disk / "run/davinci").mkdir()
    shutil.copyfile(version, disk / "run/davinci/driver")
    lost = {lost_npu((disk / "usr/local/simulated/faults").read_text().split())}
    if fallen := standing(disk / "usr/local/simulated").get("chip-lost"):
        lost.add(fallen.npu)
    nodes = [f"davinci{number}" for number in range(4) if number not in lost]
    for name in [*nodes, "davinci_manager", "devmm_svm", "hisi_hdc"]:
        (disk / "dev" / name).touch()
        # A character device to whoever looks; what it would do is not simulated.
        bind("/dev/null", disk / "dev" / name, writable=True)


def lost_npu(faults: list[str]) -> int | None:
    """Which NPU a fault takes away, if one does."""
    for fault in faults:
        name, _, npu = fault.partition("=")
        if name in ("npu-lost", "npu-silent"):
            return int(npu) if npu else 3
    return None
